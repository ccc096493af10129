#!/usr/bin/env bash
# A host whose image is to be one of workers' hosts: their package sources, and all packages that they need.
# inbox: as prepare-worker.sh has it, host-packages of all architectures
# shellcheck source=hostscripts/lib.sh
. ./lib.sh
# shellcheck source=hostscripts/apt.sh
. ./apt.sh
# shellcheck source=hostscripts/cloud-init.sh
. ./cloud-init.sh
# shellcheck source=hostscripts/requirements.sh
. ./requirements.sh
# shellcheck source=hostscripts/site-ca.sh
. ./site-ca.sh

first_boot
host_has systemd
no_own_firewall
install -d -m 0755 /etc/q8s
apt_host_sources
mapfile -t host_packages <"$inbox/host-packages"
apt_install "${host_packages[@]}"
host_has Python libvirt QEMU
