# shellcheck shell=bash
# A guest goes on from the state of another one of its type, where there is one, and boots where there is none
# (docs/decisions/0024). The first control plane keeps states (q8s_artifacts.py); which host makes one, it says, too.
# Uses data, guest, disk, memory, type, emulator, domain, artifacts, architecture, patience, resumes and the checksums of define-guest.sh,
# and requirements.sh.

# The first release of libvirt whose snapshots leave disks to others ("manual").
state_release=8.2

# state_key: all that a state depends on: what the guest is made of, and who emulates it. A host may have other emulators, too.
state_key() {
	local -a firmware
	mapfile -t firmware < <(grep -oE '/usr/(share|lib)/[^<"]+' "$inbox/domain.xml" || true)
	# A domain that names none has QEMU's BIOS.
	if ((!${#firmware[@]})); then mapfile -t firmware < <(find /usr/share/seabios -type f 2>/dev/null | sort || true); fi
	{
		cat "$inbox/domain.xml" "$inbox"/seed/*
		printf '%s\n' "$image_sha256" "$payload_sha256" "$disk" "$(uname -m)"
		sha256sum <"$(command -v "$emulator")"
		if ((${#firmware[@]})); then sha256sum "${firmware[@]}"; fi
		dpkg-query --show --showformat '${Package} ${Version}\n' 'libvirt*' qemu-system-common qemu-system-data qemu-slof qemu-utils 2>/dev/null || true
	} | sha256sum | cut -d' ' -f1
}

# states COMMAND WORD...: what q8s_guest_state.py says of this guest's.
states() {
	SERVER=$artifacts TYPE=$type KEY=${key:-} KEYS=$inbox python3 "$inbox/q8s_guest_state.py" "$@"
}

# state_find: get the state, or the claim to make it.
state_find() {
	local free said release code=0 needed=$((2 * disk + memory + (1 << 30)))
	key=$(state_key) claim="" made="" states=$data/states
	state=$states/$key
	# No guest is on one any more.
	rm -rf "$states"
	install -d -m 0711 "$states"
	if [[ ${resumes:-} = no ]]; then
		progress "boots, as guests of $architecture do not go on from a state"
		return 0
	fi
	release=$(host_release libvirt)
	if ! at_least "$state_release" "$release"; then
		progress "cold boot: saving a guest's state needs libvirt $state_release, and this host has ${release:-none}"
		return 0
	fi
	if [[ -e $data/baked/$key ]]; then
		if said=$(states check "$data/baked/$key"); then
			progress "the state of a guest of type $type is on this host's image"
			mv "$data/baked/$key" "$state"
		else
			progress "not using the state of a guest of type $type on this host's image: $said"
		fi
	fi
	# This host has no guest of another type.
	rm -rf "$data/baked"
	free=$(df --output=avail --block-size=1 "$data" | tail -n 1)
	if ((free < needed)); then
		progress "boots, as a state has no room here: $((needed >> 20)) MiB, and $((free >> 20)) MiB are free"
		rm -rf "$state"
		return 0
	fi
	[[ ! -e $state ]] || return 0
	said=$(states find "$state") || code=$?
	case $code in
		0) ;;
		10)
			claim=yes
			progress "boots, as the first one of type $type"
			;;
		11) progress "boots, as there is no state of another guest: $said" ;;
		*) progress "boots, as the state of another guest was not got: see $step_log" ;;
	esac
}

# state_resumed: whether the guest runs from the state now.
state_resumed() {
	[[ -e $state ]] || return 1
	progress "going on from the state of a guest of type $type"
	chmod 0644 "$state"/*
	if [[ -e $state/nvram.fd ]]; then install -m 0600 "$state/nvram.fd" "$guest/nvram.fd"; fi
	disks_on "$state/root.qcow2" "$state/payload.qcow2"
	# It stood still when it was saved.
	if virsh -q restore --running "$state/memory" && answers; then return 0; fi
	progress "boots, as it does not go on from a state: see /var/log/libvirt/qemu/$domain.log"
	# Whatever it does: one that stands still is not off.
	virsh -q destroy "$domain" || true
	# Once a second guest says the same, it is dropped, and that guest's host makes another.
	local said code=0
	said=$(states report "$state") || code=$?
	if ((code == 10)); then claim=yes; elif [[ $said ]]; then progress "the state stays on the first control plane: $said"; fi
	rm -rf "$state" "$guest/nvram.fd"
	return 1
}

rests() { /usr/local/sbin/q8s-join-guest --rests "$patience" "$guest/join.json"; }
answers() { /usr/local/sbin/q8s-join-guest --answers 20 "$guest/join.json"; }

# state_made: where it is this host's to make it, save the guest's state once the guest has come to rest; it goes on meanwhile, in the
# emulator that it has. False where the guest is off then.
state_made() {
	[[ $claim ]] || return 0
	local part=$states/.$key
	progress "waiting until the guest has booted, to keep its state"
	if ! rests; then
		if running; then
			state_left "it has not come to rest within $patience s"
			return 0
		fi
		state_left "its emulator has ended, see /var/log/libvirt/qemu/$domain.log"
		return 1
	fi
	install -d -m 0711 "$part"
	progress "keeping the guest's state"
	if state_saved "$part"; then
		mv "$part" "$state"
		made=yes
	else
		state_left "it could not be saved, see $step_log"
		rm -rf "$part"
	fi
	running || virsh -q resume "$domain" || {
		virsh -q destroy "$domain" || true
		return 1
	}
}

# state_saved FOLDER: memory and disks of the guest, which stands still from then on.
state_saved() {
	local name
	# libvirt writes the memory, as if it saved the guest; "manual" are disks that others copy before the guest goes on.
	virsh -q snapshot-create-as "$domain" --no-metadata --memspec "file=$1/memory,snapshot=external" \
		--diskspec vda,snapshot=manual --diskspec vdb,snapshot=manual --diskspec vdc,snapshot=no || return 1
	for name in root.qcow2 payload.qcow2 nvram.fd; do
		[[ ! -e $guest/$name ]] || cp "$guest/$name" "$1/$name" || return 1
	done
}

# state_announced: tell the first control plane the checksums of the state that was made here. It accepts nothing else from then on.
state_announced() {
	[[ $made ]] || return 0
	local said
	said=$(states announce "$state") || {
		made=""
		rm -f "$state/memory"
		state_left "${said:-see $step_log}"
	}
}

# state_done: use up this guest's credential for states. A workload that breaks out of the guest later finds a useless one.
state_done() {
	local said
	said=$(states "done") || progress "this guest's credential for states ends by itself: ${said:-see $step_log}"
}

# state_given: upload the state that was made here, and announced.
state_given() {
	[[ $made ]] || return 0
	local said
	progress "handing the guest's state over"
	said=$(states give "$state") || state_left "${said:-see $step_log}"
	rm -rf "$state"
}

# state_left WHY: release the claim, so that another host can make the state.
state_left() {
	progress "the guest's state is not kept: $1"
	states leave || true
}
