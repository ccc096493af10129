#!/usr/bin/env bash
# The last step on a host whose image is to be one of workers' hosts: what is this host's own, or its cluster's secret, goes.
# shellcheck source=hostscripts/lib.sh
. ./lib.sh
# shellcheck source=hostscripts/own-files.sh
. ./own-files.sh

apt-get -q clean
cloud-init clean --logs --seed
# It is written when the host is shut down, and would be the same on all (systemd-random-seed.service(8)).
systemctl stop systemd-random-seed.service || true
# journald goes on in files that are gone.
journalctl --quiet --rotate || true
remove_own_files ""
rm -rf /var/log/q8s /var/log/journal/*
# Where it is empty, the next boot writes another one (machine-id(5)).
: >/etc/machine-id
sync
