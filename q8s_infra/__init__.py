"""Q8S on Pulumi: a Kubernetes cluster of emulated, heterogeneous workers on a regular OpenStack project."""
