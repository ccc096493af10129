# shellcheck shell=bash
# The cluster's certificate authority, as nodes pin it. Sourced by steps on a control plane.

# ca_hash: the digest of its public key ("Token-based discovery with CA pinning" of the kubeadm reference).
ca_hash() {
	local digest
	digest=$(openssl x509 -pubkey -noout -in /etc/kubernetes/pki/ca.crt |
		openssl pkey -pubin -outform der | openssl dgst -sha256 -r | cut -d' ' -f1)
	printf 'sha256:%s\n' "$digest"
}
