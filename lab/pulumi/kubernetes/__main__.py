"""``pulumi-resource-kubernetes``."""

from lab.pulumi.kubernetes.provider import KubernetesPlugin
from lab.pulumi.plugin import serve

serve(KubernetesPlugin)
