# shellcheck shell=bash
# A control plane's certificates: whether they are due, and their renewal. Sourced by steps on a control plane, beside static-pods.sh.

# is_due FILE: less than a third is left of the time that a certificate, or a kubeconfig's, was made for. kubeadm's begin with the
# authority's own first day, whenever they were made, so the file says when this one was.
is_due() {
	local file=$1 now made ends
	now=$(date +%s) made=$(stat -c %Y "$file")
	((made < now)) || made=$now
	ends=$(date +%s -d "$(awk '$1 == "client-certificate-data:" { print $2; exit }' "$file" | base64 -d |
		cat - "$file" | openssl x509 -noout -enddate | cut -d= -f2)")
	((3 * (ends - now) < ends - made))
}

# due_certificates: the files of this control plane's certificates that are due; kubelet renews its own.
due_certificates() {
	local kubernetes=/etc/kubernetes file
	for file in "$kubernetes"/pki/{apiserver*,front-proxy-client,etcd/{server,peer,*-client}}.crt \
		"$kubernetes"/{admin,super-admin,controller-manager,scheduler}.conf; do
		if [[ -e $file ]] && is_due "$file"; then echo "$file"; fi
	done
}

# renewed [ARGUMENTS...]: kubeadm renews all of them, and what uses them starts anew, one after the other ("Certificate Management
# with kubeadm" of the Kubernetes documentation).
renewed() {
	progress "renewing certificates"
	kubeadm certs renew all "$@"
	local component
	for component in etcd kube-apiserver kube-controller-manager kube-scheduler; do restarted "$component"; done
	# The administrator's kubeconfig is another one: what init-cluster.sh printed for a run that was cut off is old (run-step.sh).
	touch --no-create --date=@0 /run/q8s/*-init/outcome
	progress "certificates renewed until $(openssl x509 -enddate -noout -in /etc/kubernetes/pki/apiserver.crt | cut -d= -f2)"
}
