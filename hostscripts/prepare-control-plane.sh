#!/usr/bin/env bash
# A host that runs Kubernetes' control plane itself: packages, kernel settings, container runtime.
# Arguments: kubernetes=VERSION
# shellcheck source=hostscripts/lib.sh
. ./lib.sh
# shellcheck source=hostscripts/access.sh
. ./access.sh
# shellcheck source=hostscripts/apt.sh
. ./apt.sh
# shellcheck source=hostscripts/cloud-init.sh
. ./cloud-init.sh
# shellcheck source=hostscripts/requirements.sh
. ./requirements.sh
# shellcheck source=hostscripts/site-ca.sh
. ./site-ca.sh
# shellcheck source=hostscripts/container-runtime.sh
. ./container-runtime.sh
# shellcheck source=hostscripts/metadata.sh
. ./metadata.sh

: "${kubernetes:?}"

user_keys
unused_connections
first_boot
host_has systemd Python
no_own_firewall
swap_off
progress "package sources"
apt_host_sources

progress "installing containerd and Kubernetes $kubernetes"
apt_install containerd runc conntrack ethtool socat iptables
host_has containerd
# Where a cluster runs already, another version is for the step that upgrades it. kubelet starts by itself when kubeadm has
# configured it.
if [[ ! -e /var/lib/q8s-initialised && ! -e /var/lib/q8s-joined ]]; then
	apt_install "kubelet=$kubernetes-*" "kubeadm=$kubernetes-*" "kubectl=$kubernetes-*" kubernetes-cni
	apt-mark hold kubelet kubeadm kubectl >/dev/null
fi

# For the cluster that is made here, if it is made for another time than kubeadm's own.
if [[ -e $inbox/certificates.yaml ]]; then
	place "$inbox/certificates.yaml" /etc/kubernetes/q8s-certificates.yaml 0644 || true
else
	rm -f /etc/kubernetes/q8s-certificates.yaml
fi

no_metadata_for_pods

progress "kernel settings and container runtime"
place "$inbox/node/modules.conf" /etc/modules-load.d/q8s.conf 0644 || true
place "$inbox/node/sysctl.conf" /etc/sysctl.d/90-q8s.conf 0644 || true
while read -r module; do
	modprobe "$module" || echo "module $module: not loadable, so it has to be built in"
done </etc/modules-load.d/q8s.conf
sysctl -q -p /etc/sysctl.d/90-q8s.conf || fail "kernel settings of /etc/sysctl.d/90-q8s.conf are refused"

place "$inbox/node/q8s-flannel-offload.sh" /usr/local/sbin/q8s-flannel-offload 0755 || true
place "$inbox/node/q8s-flannel-offload.service" /etc/systemd/system/q8s-flannel-offload.service 0644 || true
registry_hosts /etc/containerd/certs.d
restart=no
if containerd_proxy; then restart=yes; fi
if place "$inbox/node/containerd.toml" /etc/containerd/config.toml 0644; then restart=yes; fi
systemctl daemon-reload
if [[ $restart = yes ]]; then systemctl restart containerd.service; fi
systemctl enable --now containerd.service q8s-flannel-offload.service
systemctl enable kubelet.service

# Automatic renewal of certificates: the timer runs the step that renews on request, with its libraries.
install -d -m 0755 /usr/local/lib/q8s-renew
for file in renew-certificates.sh certificates.sh static-pods.sh lib.sh; do
	place "./$file" "/usr/local/lib/q8s-renew/$file" 0644 || true
done
printf 'NODE=%s\n' "$node" >/usr/local/lib/q8s-renew/node.env
for unit in q8s-renew.service q8s-renew.timer; do place "$inbox/$unit" "/etc/systemd/system/$unit" 0644 || true; done
systemctl daemon-reload
systemctl enable --now q8s-renew.timer

retry 5 ctr version >/dev/null || fail "containerd does not answer: see journalctl -u containerd"
systemctl is-active --quiet q8s-renew.timer || fail "the timer that renews certificates is not active: see systemctl status q8s-renew.timer"
progress "host prepared"
