"""The instance that an image is made of: made, stopped, kept as an image, and taken away, with a member's rights."""

from __future__ import annotations

import base64
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

from openstack.exceptions import ResourceFailure

from q8s_infra.drift import OWNER
from q8s_infra.printable import printable
from q8s_infra.spec.types import is_id

if TYPE_CHECKING:
    from openstack.compute.v2.server import Server
    from openstack.connection import Connection

_SERVER_SECONDS: Final = 600
_IMAGE_SECONDS: Final = 3600
_POLL_SECONDS: Final = 5


@dataclass(frozen=True)
class ServerRequest:
    """What an instance is to be.

    Attributes:
        name: its own, and its port's.
        flavor: by name.
        image: what it boots, by id, or by the name that the newest one is taken of.
        like: id of the port whose network, subnets and security groups its own gets.
        left_out: id of the security group that it does not get: that of control planes; empty where there is none.
        keypair: by name.
        group: id of the cluster's security group, see :data:`q8s_infra.drift.OWNER`.
        zone: availability zone; None for any.
        config_drive: as the cluster's hosts have it.
        user_data: cloud-init's; a secret.
    """

    name: str
    flavor: str
    image: str
    like: str
    left_out: str
    keypair: str
    group: str
    zone: str | None
    config_drive: bool | None
    user_data: str = field(repr=False)


class Builder:
    """What makes an instance, and an image of it."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    def make(self, request: ServerRequest) -> None:
        """Make the instance, and wait until it boots.

        Raises:
            openstack.exceptions.SDKException: it does not, or something that it needs is not there.
        """
        network, compute = self._connection.network, self._connection.compute
        like = network.get_port(request.like)
        port = network.create_port(
            name=request.name,
            network_id=like.network_id,
            fixed_ips=[{"subnet_id": each["subnet_id"]} for each in like.fixed_ips],
            security_groups=[group for group in like.security_group_ids if group != request.left_out],
        )
        server = compute.create_server(
            name=request.name,
            flavor_id=compute.find_flavor(request.flavor, ignore_missing=False).id,
            image_id=self._image(request.image),
            networks=[{"port": port.id}],
            key_name=request.keypair,
            user_data=base64.b64encode(request.user_data.encode()).decode(),
            metadata={OWNER: request.group},
            **({"availability_zone": request.zone} if request.zone else {}),
            **({"config_drive": True} if request.config_drive else {}),
        )
        try:
            compute.wait_for_server(server, wait=_SERVER_SECONDS)
        except ResourceFailure as error:
            fault = (compute.get_server(server.id).fault or {}).get("message", "")
            raise ResourceFailure(printable(f"{request.name}: {fault or error}")) from None

    def keep(self, name: str, image: str) -> str:
        """Stop an instance and make an image of it.

        Args:
            name: the instance's.
            image: what the image is called.

        Returns:
            The image's id.

        Raises:
            openstack.exceptions.SDKException: it does not become one.
        """
        compute = self._connection.compute
        server = self._server(name)
        compute.stop_server(server)
        compute.wait_for_server(server, "SHUTOFF", wait=_SERVER_SECONDS)
        made = compute.create_server_image(server, image)
        # One that Nova could not write is gone.
        self._connection.image.wait_for_status(
            made, "active", ["deleted", "killed"], interval=_POLL_SECONDS, wait=_IMAGE_SECONDS
        )
        return str(made.id)

    def _image(self, given: str) -> str:
        """The id of an image, as the cluster's hosts are given theirs."""
        images = self._connection.image
        if is_id(given):
            return given
        newest = next(images.images(name=given, status="active", sort="created_at:desc"), None)
        return str(newest.id if newest else images.find_image(given, ignore_missing=False).id)

    def _server(self, name: str) -> Server:
        return self._connection.compute.find_server(name, ignore_missing=False)
