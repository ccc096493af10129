# shellcheck shell=bash
# A bootstrap token that lives as long as its join: the cluster accepts the value in inbox/token while it is renewed.
# Source of the object: "Bootstrap Token Secret Format" of the Kubernetes documentation.

token_seconds=600

# renew_token: let the cluster accept the token for the next ten minutes. Its value is on no command line.
renew_token() {
	local token_id token_secret
	IFS=. read -r token_id token_secret <"$inbox/token"
	kubectl apply --server-side --force-conflicts -f - <<-SECRET >/dev/null
		apiVersion: v1
		kind: Secret
		type: bootstrap.kubernetes.io/token
		metadata: {name: bootstrap-token-$token_id, namespace: kube-system}
		stringData:
		  description: "q8s: ${node:?}"
		  token-id: "$token_id"
		  token-secret: "$token_secret"
		  expiration: "$(date -u -d "+$token_seconds seconds" +%FT%TZ)"
		  usage-bootstrap-authentication: "true"
		  usage-bootstrap-signing: "true"
		  auth-extra-groups: system:bootstrappers:kubeadm:default-node-token
	SECRET
}

# revoke_token: the token is of no use any more; that it is gone already is well.
revoke_token() {
	local token_id
	IFS=. read -r token_id _ <"$inbox/token"
	kubectl -n kube-system delete secret "bootstrap-token-$token_id" --ignore-not-found >/dev/null
}

# hand_over_certificates: the control planes' certificates, encrypted by the key in inbox/certificate-key, in the cluster. With a
# version, since kubeadm would ask the internet for one.
hand_over_certificates() {
	cat >"$inbox/upload.yaml" <<-CONFIGURATION
		apiVersion: kubeadm.k8s.io/v1beta4
		kind: InitConfiguration
		certificateKey: $(<"$inbox/certificate-key")
		---
		apiVersion: kubeadm.k8s.io/v1beta4
		kind: ClusterConfiguration
		kubernetesVersion: $(kubeadm version -o short)
	CONFIGURATION
	kubeadm init phase upload-certs --upload-certs --config "$inbox/upload.yaml" >/dev/null
}

# withdraw_certificates: they go, with the token that kubeadm makes for their time to live (its description is kubeadm's own).
withdraw_certificates() {
	local names
	kubectl -n kube-system delete secret kubeadm-certs --ignore-not-found >/dev/null
	names=$(kubectl -n kube-system get secrets --field-selector type=bootstrap.kubernetes.io/token -o json |
		python3 -c 'import base64, json, sys
for secret in json.load(sys.stdin)["items"]:
    if b"kubeadm-certs" in base64.b64decode(secret["data"].get("description", "")):
        print(secret["metadata"]["name"])')
	[[ ! $names ]] || xargs kubectl -n kube-system delete secret --ignore-not-found >/dev/null <<<"$names"
}
