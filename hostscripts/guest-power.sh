# shellcheck shell=bash
# A complete guest runs, whatever it was found doing. Uses domain, of domain.sh.

running() { [[ $(virsh -q domstate "$domain" 2>/dev/null) = running ]]; }

# guest_powered: power the guest on if it is off; resume it if QEMU has paused it on a full disk. One that is paused for another
# reason (by an operator, while it is saved) stays so.
guest_powered() {
	local state
	state=$(virsh -q domstate --reason "$domain") || state=unknown
	case $state in
		running*) progress "the guest runs already" ;;
		paused*"I/O error"*)
			virsh -q resume "$domain" || true
			# It retries the request that had failed, and is paused again where that fails again.
			sleep 5
			running || fail "the guest is paused, as the disk of its host is full: free some space in /var/lib/libvirt/q8s there, and it is resumed by itself"
			progress "the guest was paused on a full disk: resumed"
			;;
		paused*) progress "the guest is $state, and stays so: virsh resume $domain on its host resumes it" ;;
		*)
			# The host's watch may have been faster.
			virsh -q start "$domain" || running || fail "the guest does not start: see /var/log/libvirt/qemu/$domain.log"
			progress "the guest was off: powered on"
			;;
	esac
}
