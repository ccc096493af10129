# shellcheck shell=bash disable=SC2034
# Common ground of all steps: standard output for results, standard error for people; named arguments, a log on the host, short progress lines, errors that say where.
# A step has its documents and secrets in the working directory, which only root reads.
set -Eeuo pipefail
umask 022
export LC_ALL=C.UTF-8 DEBIAN_FRONTEND=noninteractive
PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin

for _word in "$@"; do
	[[ $_word =~ ^[a-z][a-z0-9_]*= ]] || { echo "q8s: not a named argument: $_word" >&2; exit 2; }
	declare "${_word%%=*}=${_word#*=}"
done

mkdir -p /var/log/q8s
chmod 750 /var/log/q8s
# One of the node's own for steps that run for many nodes on the same host: those set log_of_node.
step_log=/var/log/q8s/${step:?}${log_of_node:+-${node:?}}.log
# A step that is run often, or by a cluster of a thousand nodes, does not fill the disk: this file and the one before it.
step_log_bytes=$((4 << 20))
if [[ -e $step_log ]] && (($(stat --format %s "$step_log") > step_log_bytes)); then mv -f "$step_log" "$step_log.1"; fi
# 3: results, 4: people; everything else goes to the log.
exec 3>&1 4>&2 >>"$step_log" 2>&1
printf -- '--- %s %s\n' "$(date -u +%FT%TZ)" "$step"

declare -r inbox=$PWD

# progress MESSAGE...: a short line for the person who waits, and for the log.
progress() {
	printf '%s: %s\n' "${node:?}" "$*" >&4
	printf '%s %s\n' "$(date -u +%T)" "$*"
}

_failed() {
	local code=$1 line=$2 command=$3
	trap - ERR
	{
		printf 'q8s: node %s, layer %s, step %s failed (exit %s) at line %s: %s\n' \
			"${node:?}" "${layer:?}" "$step" "$code" "$line" "${command%%$'\n'*}"
		_full_disk
		printf 'last lines of %s on %s:\n' "$step_log" "$(hostname)"
		tail -n 15 "$step_log" | cut -c1-400
	} >&4
	exit "$code"
}
trap '_failed $? $LINENO "$BASH_COMMAND"' ERR

# fail MESSAGE...: stop with an error that names the layer and what can be done.
fail() {
	trap - ERR
	printf 'q8s: node %s, layer %s, step %s: %s\n' "${node:?}" "${layer:?}" "$step" "$*" >&4
	_full_disk >&4
	printf 'last lines of %s on %s:\n' "$step_log" "$(hostname)" >&4
	tail -n 10 "$step_log" | cut -c1-400 >&4
	exit 1
}

# _full_disk: the reason behind many others.
_full_disk() {
	{ df --output=avail,target --block-size=1M / /var || true; } | sort -u | while read -r left place; do
		if [[ $left =~ ^[0-9]+$ ]] && ((left < 100)); then
			printf 'q8s: node %s, layer host: the disk of %s is full: %s MiB left on %s\n' "$node" "$(hostname)" "$left" "$place"
		fi
	done
}

# retry TIMES COMMAND...: the command again after 2, 4, 8... seconds.
retry() {
	local times=$1 pause=2
	shift
	until "$@"; do
		((--times > 0)) || return 1
		sleep "$pause"
		pause=$((pause * 2))
	done
}

# proxy_environment: the site's proxies, where there are any, into the environment of a subshell, and of nothing else: kubeadm
# writes proxies that it finds there into the control plane's pods. As variables, since everybody reads command lines.
proxy_environment() {
	[[ -s $inbox/proxy.env ]] || return 0
	local -a variables
	mapfile -t variables <"$inbox/proxy.env"
	export "${variables[@]}"
}

# proxied COMMAND...: a program that finds the site's proxies in its environment.
proxied() (
	proxy_environment
	exec "$@"
)

# download URL FILE [ADVICE]: a download that is yet to be verified.
download() {
	retry 4 proxied curl -fsSL --connect-timeout 10 --retry 3 --output "$2" "$1" ||
		fail "cannot download $1: ${3:-is the source reachable from this host?}"
}

# fetch URL FILE SHA256 [ADVICE]: a verified download; an existing good file is kept.
fetch() {
	local url=$1 file=$2 sum=$3
	if [[ -f $file ]] && echo "$sum  $file" | sha256sum --check --status; then return; fi
	download "$url" "$file.part" "${@:4}"
	echo "$sum  $file.part" | sha256sum --check --status ||
		fail "wrong checksum of $url: expected $sum, got $(sha256sum "$file.part" | cut -d' ' -f1)"
	mv "$file.part" "$file"
}

# place FILE TARGET MODE: install a file if it differs; true when it changed.
place() {
	cmp -s "$1" "$2" && return 1
	install -D -m "$3" "$1" "$2"
}
