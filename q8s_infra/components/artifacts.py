"""What guests are made from: fetched and prepared once for each architecture, and served to the workers' hosts."""

from __future__ import annotations

import json

import pulumi

from q8s_infra import kept
from q8s_infra.arch import Architecture
from q8s_infra.components.host import Host
from q8s_infra.components.keys import ClusterKeys
from q8s_infra.defaults import ARTIFACTS_PORT, PAYLOAD_GIB
from q8s_infra.remote import HOSTSCRIPTS, Step, run
from q8s_infra.render.payload import payload
from q8s_infra.render.proxy import proxy_files
from q8s_infra.render.sources import guest_apt_files, image_files, registry_files
from q8s_infra.spec import ClusterSpec
from q8s_infra.state.model import ARTIFACTS

_SERVICE = ("q8s-artifacts.service", "q8s_artifacts.py", "q8s_limits.py", "q8s_states.py")


class Artifacts(pulumi.ComponentResource):
    """The image and the payload of an architecture's guests, on the first control plane (docs/decisions/0018).

    Attributes:
        arguments: what a step is told that fetches and checks them.
    """

    def __init__(
        self,
        architecture: Architecture,
        *,
        spec: ClusterSpec,
        keys: ClusterKeys,
        node: str,
        host: Host,
        prepared: pulumi.Resource,
        opts: pulumi.ResourceOptions | None = None,
    ) -> None:
        """Declare them.

        Args:
            architecture: the guests'.
            spec: the cluster.
            keys: the cluster's keys.
            node: the first control plane's.
            host: its host.
            prepared: the host is.
            opts: the component's options.
        """
        name = f"{node}-{architecture.name}"
        super().__init__(ARTIFACTS, name, None, opts)
        image, disk = spec.guest_image(architecture.name), payload(spec, architecture)
        named = {"architecture": architecture.debian, "image": image.key, "payload_key": disk.key}
        built = run(
            f"{name}-payload",
            host.shell,
            Step(
                "build-payload",
                node,
                "payload",
                {
                    "address": host.address,
                    "port": str(ARTIFACTS_PORT),
                    **named,
                    "platform": f"linux/{architecture.oci}",
                    "image_url": image.url,
                    "image_sha256": image.sha256 or "",
                    "room": str(PAYLOAD_GIB * 1024),
                    **({"images_packed": "yes"} if architecture.big_endian else {}),
                },
            ),
            delete=Step("remove-payload", node, "payload", {"architecture": architecture.debian}),
            files={
                **guest_apt_files(spec, architecture.name),
                **registry_files(spec),
                **proxy_files(spec),
                **image_files(image),
                "payload/packages": "".join(f"{package}\n" for package in disk.packages),
                "payload/images": "".join(f"{reference}\n" for reference in disk.images),
                "states.key": keys.states_key,
                **{name: (HOSTSCRIPTS / name).read_text(encoding="utf-8") for name in _SERVICE},
            },
            triggers=[host.instance.id],
            opts=pulumi.ResourceOptions(parent=self, depends_on=[prepared]),
        )
        # By itself, so that an edit of where they come from is none of what they are.
        identified = run(
            f"{name}-checksums",
            host.shell,
            Step("identify-payload", node, "payload", named),
            triggers=[built.id],
            opts=pulumi.ResourceOptions(parent=self, depends_on=[built]),
        )
        sums = identified.stdout.apply(json.loads)
        self.arguments: dict[str, pulumi.Input[str]] = {
            **named,
            "artifacts": host.address.apply(lambda address: f"http://{address}:{ARTIFACTS_PORT}"),
            **{f"{what}_sha256": sums[what] for what in ("image", "payload", "kubernetes")},
        }
        # Only what guests can be made from: an image that could not be downloaded must not become the default.
        self.register_outputs({kept.IMAGE: identified.id.apply(lambda _: kept.image_field(image))})
