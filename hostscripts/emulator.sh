# shellcheck shell=bash
# What this host's QEMU can do, which depends on the release of the host's distribution.

# emulator_has EMULATOR MODEL FIELD: it has this CPU model; FIELD is what asks for it.
emulator_has() {
	local help models
	help=$("$1" -cpu help)
	# In a line of its own each, until QEMU 9.0 behind the architecture; flags come after the models.
	models=$(awk '/^Recognized/ { flags = 1 } !flags && /^ / { print $1 } !flags && /^(x86|PowerPC|s390) / { print $2 }' <<<"$help")
	grep -qxF -- "$2" <<<"$models" ||
		fail "$3: $2 is no CPU model of $("$1" --version | head -n 1) on this host, which has ${models//$'\n'/, }"
}
