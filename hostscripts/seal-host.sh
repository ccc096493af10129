#!/usr/bin/env bash
# The last step on a host whose image is to be one of workers' hosts: what is this host's own, or its cluster's secret, goes.
# shellcheck source=hostscripts/lib.sh
. ./lib.sh

apt-get -q clean
# It may have a password.
rm -f /etc/apt/apt.conf.d/80q8s-proxy
rm -rf /etc/q8s /var/lib/q8s /var/log/q8s /home/*/.q8s /root/.q8s
# Who may log in, and what tells hosts apart: cloud-init gives each its own.
rm -f /home/*/.ssh/authorized_keys* /root/.ssh/authorized_keys* /etc/ssh/ssh_host_*
cloud-init clean --logs --seed
# Where it is empty, the next boot writes another one (machine-id(5)).
: >/etc/machine-id
# It is written when the host is shut down, and would be the same on all (systemd-random-seed.service(8)).
systemctl stop systemd-random-seed.service || true
rm -f /var/lib/systemd/random-seed
journalctl --quiet --rotate --vacuum-time=1s || true
sync
