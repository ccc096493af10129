# shellcheck shell=bash
# The image's own first boot, which writes package sources and installs packages, too.

# first_boot: it is over, however it ended: what it could not do is told by what lacks it.
first_boot() {
	local code=0
	command -v cloud-init >/dev/null || return 0
	timeout 600 cloud-init status --wait >/dev/null || code=$?
	# 2: it did all, and has something to say (since its release 23.4).
	((code == 0 || code == 2)) || progress "cloud-init has not done all that it should: see cloud-init status --long"
}
