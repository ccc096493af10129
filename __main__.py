"""The Pulumi program: load the spec, plan, make the cluster, export what its users need."""

import pulumi

from q8s_infra.components import Cluster
from q8s_infra.stack import load_stack
from q8s_infra.tunnel import start

stack = load_stack()
start(stack.plan.spec.access)
cluster = Cluster(stack.plan, stack.rollout, stack.project)

pulumi.export("kubeconfig", pulumi.Output.secret(cluster.kubeconfig))
pulumi.export("endpoint", cluster.endpoint)
pulumi.export("nodes", cluster.nodes)
