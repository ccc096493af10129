#!/usr/bin/env bash
# Makes new namespaces fit to live in. Usage: namespace-setup.sh RUN
set -euo pipefail
run=$1

# /sys shows the interfaces of the network namespace that mounted it; the control groups stay the machine's.
mkdir -p "$run/cgroup" "$run/netns" /run/netns
mount --rbind /sys/fs/cgroup "$run/cgroup"
mount -t sysfs sysfs /sys
mount --move "$run/cgroup" /sys/fs/cgroup

# Named network namespaces of the lab are no names on the machine.
mount --bind "$run/netns" /run/netns
mount --make-shared /run/netns

ip link set lo up
for kind in ip ip6 arp; do echo 1 >"/proc/sys/net/bridge/bridge-nf-call-${kind}tables"; done
echo 1 >/proc/sys/net/ipv4/ip_forward
