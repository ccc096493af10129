# shellcheck shell=bash
# A script that runs in a worker's guest. Sourced by the step that awaits the node, on a control plane, which cannot log in there.

# in_guest WHAT SECONDS FAILURE SCRIPT [ARGUMENT...]: run a script as root in the node's guest, by the pod q8s-WHAT-NODE, which sees all
# of its node; of an image that every node has. Where it does not succeed, the step fails with FAILURE.
# Kubernetes expands $(NAME) and $$ in the words of a command.
in_guest() {
	local what=$1 seconds=$2 failure=$3 script=$4 pod="q8s-$1-${node:?}" image phase deadline=$((SECONDS + $2))
	shift 4
	image=$(kubectl -n kube-flannel get daemonset kube-flannel-ds -o 'jsonpath={.spec.template.spec.containers[0].image}')
	kubectl -n kube-system delete pod "$pod" --ignore-not-found
	python3 - "$pod" "$node" "$image" "$what" "$script" "$@" <<-'PYTHON' | kubectl apply -f -
		import json, pathlib, sys
		pod, node, image, what, script, *arguments = sys.argv[1:]
		script = pathlib.Path(script)
		inside = ["nsenter", "--target=1", "--mount", "--uts", "--ipc", "--net", "--pid", "--"]
		command = ["busybox", "chroot", "/host", *inside, "/bin/bash", "-c", script.read_text()]
		container = {
		    "name": what,
		    "image": image,
		    "command": [*command, script.stem, *arguments],
		    "securityContext": {"privileged": True},
		    "volumeMounts": [{"name": "host", "mountPath": "/host"}],
		}
		spec = {
		    "nodeName": node,
		    "hostNetwork": True,
		    "hostPID": True,
		    # kubelet admits it to a node that is full or short of disk as well.
		    "priorityClassName": "system-node-critical",
		    "restartPolicy": "Never",
		    "terminationGracePeriodSeconds": 5,
		    "automountServiceAccountToken": False,
		    "tolerations": [{"operator": "Exists"}],
		    "containers": [container],
		    "volumes": [{"name": "host", "hostPath": {"path": "/"}}],
		}
		metadata = {"name": pod, "namespace": "kube-system"}
		print(json.dumps({"apiVersion": "v1", "kind": "Pod", "metadata": metadata, "spec": spec}))
	PYTHON
	until
		phase=$(kubectl -n kube-system get pod "$pod" -o 'jsonpath={.status.phase}')
		[[ $phase = Succeeded || $phase = Failed ]]
	do
		((SECONDS < deadline)) || break
		sleep 2
	done
	# The node's kubelet, which answers this, may be hostile.
	{ timeout 60 kubectl -n kube-system logs --tail=200 "$pod" || true; } | head --bytes=65536
	if [[ $phase != Succeeded ]]; then
		# A pod that has not started says nothing; a kubelet that does not run is why.
		kubectl get node "$node" -o 'jsonpath={range .status.conditions[?(@.type=="Ready")]}Ready is {.status}: {.message}{"\n"}{end}' || true
		fail "$failure ($phase after $((SECONDS + seconds - deadline)) s): the pod $pod in kube-system says why, and so does $step_log"
	fi
	kubectl -n kube-system delete pod "$pod" --wait=false
}
