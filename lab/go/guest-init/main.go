// Command guest-init is the whole initial RAM file system of the lab's guest images: it loads the kernel modules that
// /modules/order lists, mounts the root file system that the kernel command line names and becomes its init, or what the
// command line names as such.
// Under emulation it saves the seconds that a general initial RAM file system takes.
package main

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

const (
	modules  = "/modules"
	newRoot  = "/root"
	interval = 20 * time.Millisecond
	patience = 60 * time.Second
)

func main() {
	if err := boot(); err != nil {
		fmt.Fprintln(os.Stderr, "guest-init:", err)
		// The kernel panics when its init ends, and panic= on the command line restarts the machine.
		os.Exit(1)
	}
}

func boot() error {
	for _, m := range []struct{ kind, target string }{{"devtmpfs", "/dev"}, {"proc", "/proc"}} {
		if err := unix.Mount(m.kind, m.target, m.kind, 0, ""); err != nil {
			return fmt.Errorf("mount %s: %w", m.target, err)
		}
	}
	if err := loadModules(); err != nil {
		return err
	}
	options, err := commandLine()
	if err != nil {
		return err
	}
	if err := mountRoot(options["root"]); err != nil {
		return err
	}
	// Frees the memory that the modules' files take.
	if err := os.RemoveAll(modules); err != nil {
		return err
	}
	return switchRoot(options["init"])
}

func loadModules() error {
	order, err := os.ReadFile(filepath.Join(modules, "order"))
	if err != nil {
		return err
	}
	for _, name := range strings.Fields(string(order)) {
		image, err := os.ReadFile(filepath.Join(modules, name))
		if err != nil {
			return err
		}
		if err := unix.InitModule(image, ""); err != nil && err != unix.EEXIST {
			fmt.Fprintf(os.Stderr, "guest-init: module %s: %v\n", name, err)
		}
	}
	return nil
}

func commandLine() (map[string]string, error) {
	line, err := os.ReadFile("/proc/cmdline")
	if err != nil {
		return nil, err
	}
	options := map[string]string{"root": "/dev/vda1", "init": "/sbin/init"}
	for _, word := range strings.Fields(string(line)) {
		name, value, _ := strings.Cut(word, "=")
		options[name] = value
	}
	return options, nil
}

func mountRoot(device string) error {
	var err error
	for end := time.Now().Add(patience); time.Now().Before(end); time.Sleep(interval) {
		if err = unix.Mount(device, newRoot, "ext4", unix.MS_RDONLY, ""); err == nil {
			return nil
		}
	}
	return fmt.Errorf("mount %s: %w", device, err)
}

func switchRoot(init string) error {
	if err := unix.Mount("/dev", newRoot+"/dev", "", unix.MS_MOVE, ""); err != nil {
		return fmt.Errorf("move /dev: %w", err)
	}
	if err := unix.Unmount("/proc", 0); err != nil {
		return fmt.Errorf("unmount /proc: %w", err)
	}
	if err := os.Chdir(newRoot); err != nil {
		return err
	}
	if err := unix.Mount(".", "/", "", unix.MS_MOVE, ""); err != nil {
		return fmt.Errorf("move the root: %w", err)
	}
	if err := unix.Chroot("."); err != nil {
		return fmt.Errorf("chroot: %w", err)
	}
	return unix.Exec(init, []string{init}, []string{"HOME=/", "PATH=/usr/sbin:/usr/bin:/sbin:/bin", "TERM=linux"})
}
