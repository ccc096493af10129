#!/usr/bin/env bash
# What a machine knows of itself, as a tar archive on standard output: logs, and `facts`, a line each of name=value.
# Argument: ROLE (control-plane, host or guest). Changes nothing, and goes on past what is not there.
set -uo pipefail
export LC_ALL=C.UTF-8 PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin
role=$1
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cd "$work" || exit 1

# A document that is longer loses its first lines (q8s_infra/diagnose/members.py has the same limit).
most_bytes=$((8 << 20))
last() { # FILE: standard input into a file, but for what is too much
	tail -c "$((most_bytes + 1))" >"$1"
	if (($(stat -c %s "$1") > most_bytes)); then sed -i 1d "$1"; fi
}
keep() { # FILE COMMAND...: what a command prints
	local file=$1
	shift
	timeout 20 "$@" 2>&1 </dev/null | last "$file" || true
}
tails() { # FILE...: the last lines of each that is there
	local file
	for file in "$@"; do
		if [[ -r $file ]]; then tail -n 3000 "$file" | last "$(basename "$file")"; fi
	done
}
fact() { # NAME COMMAND...: the last line that a command prints
	local name=$1
	shift
	printf '%s=%s\n' "$name" "$(timeout 20 "$@" 2>&1 </dev/null | tail -n 1 | tail -c 4000 | tr -d '\000')" >>facts
}

keep system.txt sh -c 'uname -a; uptime; free -m; df -h; ip address; ip route; systemctl --failed --no-pager'
keep journal.txt journalctl --boot --no-pager --lines 3000
tails /var/log/cloud-init.log /var/log/cloud-init-output.log
fact full df --output=pcent /

if [[ $role != host ]]; then
	keep kubelet.txt journalctl --boot --no-pager --lines 3000 --unit kubelet
	keep containerd.txt journalctl --boot --no-pager --lines 1000 --unit containerd
	fact kubelet systemctl is-active kubelet
	fact kubelet_says journalctl --boot --no-pager --lines 1 --output cat --unit kubelet
	fact containerd systemctl is-active containerd
fi
if [[ $role != guest ]]; then
	tails /var/log/q8s/*.log
	keep steps.txt systemctl list-units --all --no-pager 'q8s-step-*'
fi
case $role in
	host)
		tails /var/log/libvirt/qemu/*.log
		keep virsh.txt sh -c 'virsh list --all; virsh net-list --all; virsh pool-list --all'
		domain=$(timeout 20 virsh -q list --all --name | grep -m 1 .) || domain=guest
		keep domain.xml virsh dumpxml "$domain"
		keep nat.txt iptables-save
		keep balancer.txt journalctl --boot --no-pager --lines 1000 --unit haproxy
		keep guest-watch.txt journalctl --boot --no-pager --lines 1000 --unit q8s-guest-watch
		keep join-guest.txt journalctl --boot --no-pager --lines 1000 --unit q8s-join-guest
		fact join_says journalctl --boot --no-pager --lines 1 --output cat --unit q8s-join-guest
		fact watch_says sh -c "journalctl --boot --no-pager --output cat --unit q8s-guest-watch | grep -E ': (reset|powered on)$'"
		fact balancer systemctl is-active haproxy
		fact domain virsh -q domstate "$domain"
		fact network sh -c "virsh -q net-info q8s | awk '\$1 == \"Active:\" { print \$2 }'"
		fact prepared tail -n 1 /var/log/q8s/prepare-worker.log
		fact libvirt_says tail -n 1 "/var/log/libvirt/qemu/$domain.log"
		fact console_says tail -n 1 /var/log/q8s/console.log
		;;
	guest)
		tails /var/log/q8s-join.log
		fact join_says grep -a 'q8s: ' /var/log/q8s-join.log
		;;
	control-plane)
		export KUBECONFIG=/etc/kubernetes/admin.conf
		fact prepared tail -n 1 /var/log/q8s/prepare-control-plane.log
		if [[ -e /var/log/q8s/build-payload.log ]]; then
			fact artifacts systemctl is-active q8s-artifacts
			fact payload_says tail -n 1 /var/log/q8s/build-payload.log
		fi
		keep join.txt journalctl --boot --no-pager --lines 1000 --unit q8s-join
		fact join systemctl is-active q8s-join
		fact join_says journalctl --boot --no-pager --lines 1 --output cat --unit q8s-join
		fact api kubectl get --raw /readyz
		keep nodes.json kubectl get nodes --output json
		keep pods.txt kubectl get pods --all-namespaces --output wide
		keep events.txt kubectl get events --all-namespaces --sort-by .lastTimestamp
		for log in /var/log/pods/kube-system_*/*/*.log; do
			if [[ -r $log ]]; then tail -n 1000 "$log" | last "$(tr / _ <<<"${log#/var/log/pods/}")"; fi
		done
		;;
esac
tar -c .
