"""Nova's compute driver: every server is a host under systemd-nspawn, and its ports are real.

It is loaded into nova-compute as ``nova.virt.nspawn`` (see ``lab.hosts.nova_compute``) and only translates: what a host
is and how it is made is in ``lab.hosts``, which knows nothing of Nova.

``$Q8S_HOST_IMAGE`` names the host image's root; hosts live below ``instances_path``. Of the image that a server was
created from only one property is looked at, which names another root (``layout.HOST_ROOT``); but one that was made of a
server is all that this server wrote, and the new one begins with it.
"""

# The signatures are Nova's, which is importable in the OpenStack environment only.
# ruff: noqa: ARG002
# mypy: disable-error-code="import-not-found,misc"

from __future__ import annotations

import base64
import os
import tempfile
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import nova.conf
from eventlet import timeout as eventlet_timeout
from nova import exception
from nova.compute import power_state, task_states
from nova.image import glance
from nova.virt import driver, fake, hardware
from oslo_log import log as logging

from lab import layout
from lab.hosts import lifecycle
from lab.hosts.host import Host, all_hosts
from lab.hosts.network import Nic
from lab.hosts.seed import seed_files

if TYPE_CHECKING:
    from collections.abc import Iterator

CONF = nova.conf.CONF
LOG = logging.getLogger(__name__)

_SHUTDOWN_SECONDS = 20.0


class NspawnDriver(fake.FakeDriverWithoutFakeNodes):
    """Servers as systemd-nspawn hosts; what is not overridden here is the fake driver's and not supported."""

    capabilities = {**fake.FakeDriver.capabilities, "supports_image_type_qcow2": True}  # noqa: RUF012
    # Schedulable, not real: the lab overcommits, as its hosts mostly wait for their guests.
    vcpus = 256
    memory_mb = 262144
    local_gb = 4000

    @property
    def _instances(self) -> Path:
        return Path(CONF.instances_path)

    @property
    def _image(self) -> Path:
        return Path(os.environ["Q8S_HOST_IMAGE"])

    def _root_of(self, instance: Any) -> Path:
        """The root that a server boots: of its own image, as it was when the server was created, or the lab's."""
        # Nova keeps an image's properties by these names (nova.utils.get_system_metadata_from_image).
        return Path(instance.system_metadata.get(f"image_{layout.HOST_ROOT}", self._image))

    def _recorded(self, instance: Any) -> Host:
        host = Host.load(self._instances, instance.uuid)
        if host is None:
            raise exception.InstanceNotFound(instance_id=instance.uuid)
        return host

    def init_host(self, host: str) -> None:
        """Check the host image before any server is asked for."""
        super().init_host(host)
        self._instances.mkdir(parents=True, exist_ok=True)
        if not (self._image / "etc/os-release").exists():
            message = f"Q8S_HOST_IMAGE={self._image} holds no root file system"
            raise exception.NovaException(message)
        lifecycle.raise_limits(self._instances)

    def list_instances(self) -> list[str]:
        """Names of all servers here, running or not."""
        return [host.name for host in all_hosts(self._instances)]

    def list_instance_uuids(self) -> list[str]:
        """UUIDs of all servers here, running or not."""
        return [host.uuid for host in all_hosts(self._instances)]

    def get_info(self, instance: Any, use_cache: bool = True) -> Any:
        """The power state as the machine shows it, also after a restart of nova-compute."""
        running = lifecycle.is_running(self._recorded(instance))
        return hardware.InstanceInfo(state=power_state.RUNNING if running else power_state.SHUTDOWN)

    def get_console_output(self, context: Any, instance: Any) -> bytes:
        """The end of the console log, with the boots before."""
        return lifecycle.console_output(self._recorded(instance), self._instances)

    def spawn(
        self,
        context: Any,
        instance: Any,
        image_meta: Any,
        injected_files: Any,
        admin_password: Any,
        allocations: Any,
        network_info: Any = None,
        block_device_info: Any = None,
        power_on: bool = True,
        accel_info: Any = None,
    ) -> None:
        """Make and boot a server; returns when Neutron has said that its ports are filtered and up."""
        flavor, volume = instance.flavor, _boot_volume(block_device_info)
        host = Host(
            instance.uuid,
            instance.name,
            instance.hostname,
            flavor.memory_mb,
            cpus=flavor.vcpus,
            disk_gib=flavor.root_gb if volume is None else volume.stat().st_size // 2**30,
        )
        files = seed_files(
            host,
            user_data=base64.b64decode(instance.user_data) if instance.user_data else None,
            public_key=instance.key_data,
            nameservers=_nameservers(network_info or []),
        )
        with self._snapshot_of(context, instance) as snapshot:
            root = self._root_of(instance)
            lifecycle.prepare(host, self._instances, root, files, volume=volume, snapshot=snapshot)
        if not power_on:
            return
        events = [("network-vif-plugged", vif["id"]) for vif in network_info or [] if vif.get("active") is False]
        try:
            with self.virtapi.wait_for_instance_event(instance, events, deadline=CONF.vif_plugging_timeout):
                lifecycle.plug(host, nics_of(network_info or []))
        except eventlet_timeout.Timeout as error:
            LOG.warning("Neutron did not report the ports as plugged", instance=instance)
            if CONF.vif_plugging_is_fatal:
                lifecycle.remove(host, self._instances)
                raise exception.VirtualInterfaceCreateException from error
        # Only now, so that cloud-init finds the network that it will have.
        lifecycle.start(host, self._instances, self._root_of(instance))

    def snapshot(self, context: Any, instance: Any, image_id: str, update_task_state: Any) -> None:
        """Make an image of a server that is off; one that runs is refused."""
        host = self._recorded(instance)
        if lifecycle.is_running(host):
            raise exception.InstanceInvalidState(
                attr="power state", instance_uuid=instance.uuid, state="running", method="snapshot"
            )
        update_task_state(task_state=task_states.IMAGE_PENDING_UPLOAD)
        with tempfile.TemporaryDirectory(dir=self._instances.parent) as folder:
            file = Path(folder, "snapshot")
            lifecycle.pack(host, self._instances, file)
            update_task_state(task_state=task_states.IMAGE_UPLOADING, expected_state=task_states.IMAGE_PENDING_UPLOAD)
            with file.open("rb") as data:
                glance.API().update(context, image_id, {"disk_format": "raw", "container_format": "bare"}, data=data)

    @contextmanager
    def _snapshot_of(self, context: Any, instance: Any) -> Iterator[Path | None]:
        """The file that :meth:`snapshot` made, where the server's image is such a one."""
        # One that boots from a volume has none.
        image = glance.API().get(context, instance.image_ref) if instance.image_ref else {"properties": {}}
        if image["properties"].get("image_type") != "snapshot":
            yield None
            return
        with tempfile.TemporaryDirectory(dir=self._instances.parent) as folder:
            file = Path(folder, "snapshot")
            glance.API().download(context, image["id"], dest_path=str(file))
            yield file

    def destroy(
        self,
        context: Any,
        instance: Any,
        network_info: Any,
        block_device_info: Any = None,
        destroy_disks: bool = True,
        destroy_secrets: bool = True,
    ) -> None:
        """Pull the plug and remove everything of the server."""
        host = Host(instance.uuid, instance.name, instance.hostname or "", 0)
        lifecycle.stop(host, grace=0)
        if destroy_disks:
            lifecycle.remove(host, self._instances)
        else:
            lifecycle.release(host, self._instances)

    def cleanup(
        self,
        context: Any,
        instance: Any,
        network_info: Any,
        block_device_info: Any = None,
        destroy_disks: bool = True,
        migrate_data: Any = None,
        destroy_vifs: bool = True,
        destroy_secrets: bool = True,
    ) -> None:
        """Nothing: :meth:`destroy` leaves nothing to clean up."""

    def power_off(self, instance: Any, timeout: int = 0, retry_interval: int = 0) -> None:
        """Shut the server down within ``timeout`` seconds (at most 20), then kill it; its address falls silent."""
        host = self._recorded(instance)
        lifecycle.stop(host, grace=min(timeout, _SHUTDOWN_SECONDS))
        lifecycle.release(host, self._instances)

    def power_on(
        self,
        context: Any,
        instance: Any,
        network_info: Any,
        block_device_info: Any = None,
        accel_info: Any = None,
    ) -> None:
        """Plug and boot a server that is off."""
        host = self._recorded(instance)
        lifecycle.plug(host, nics_of(network_info))
        lifecycle.start(host, self._instances, self._root_of(instance))

    def reboot(
        self,
        context: Any,
        instance: Any,
        network_info: Any,
        reboot_type: str,
        block_device_info: Any = None,
        bad_volumes_callback: Any = None,
        accel_info: Any = None,
    ) -> None:
        """Boot again, after an orderly shutdown (soft) or without (hard)."""
        host = self._recorded(instance)
        lifecycle.stop(host, grace=_SHUTDOWN_SECONDS if reboot_type == "SOFT" else 0)
        # Bridges and firewall rules live in the network namespace: no machine has them still after a reboot.
        lifecycle.unplug(host)
        self.power_on(context, instance, network_info, block_device_info, accel_info)

    def resume_state_on_host_boot(
        self, context: Any, instance: Any, network_info: Any, block_device_info: Any = None
    ) -> None:
        """Bring back a server that ran when the machine or the lab went down."""
        self.power_on(context, instance, network_info, block_device_info)

    def plug_vifs(self, instance: Any, network_info: Any) -> None:
        """Repair the ports of a running server; one that is off gets its own when it boots."""
        host = Host.load(self._instances, instance.uuid)
        if host is not None and lifecycle.is_running(host):
            lifecycle.plug(host, nics_of(network_info))

    def unplug_vifs(self, instance: Any, network_info: Any) -> None:
        """Take the server's network away."""
        lifecycle.unplug(Host(instance.uuid, instance.name, instance.hostname or "", 0))

    def attach_interface(self, context: Any, instance: Any, image_meta: Any, vif: Any) -> None:
        """Refused: a host's ports are those that it was created with."""
        raise exception.InterfaceAttachFailed(instance_uuid=instance.uuid)

    def detach_interface(self, context: Any, instance: Any, vif: Any) -> None:
        """Refused: a host's ports are those that it was created with."""
        raise exception.InterfaceDetachFailed(instance_uuid=instance.uuid)


def nics_of(network_info: Any) -> list[Nic]:
    """What Neutron says of a server's ports, in our terms."""
    nics = []
    for position, vif in enumerate(network_info):
        subnets = vif["network"]["subnets"]
        gateways = [subnet["gateway"]["address"] for subnet in subnets if subnet["gateway"]]
        nics.append(
            Nic(
                device=f"eth{position}",
                tap=vif["devname"],
                bridge=vif["network"]["bridge"],
                mac=vif["address"],
                mtu=int(vif["network"].get_meta("mtu") or 1500),
                addresses=tuple(
                    f"{address['address']}/{subnet['cidr'].split('/')[1]}"
                    for subnet in subnets
                    for address in subnet["ips"]
                ),
                gateway=next((gateway for gateway in gateways if gateway), None) if position == 0 else None,
            )
        )
    return nics


def _boot_volume(block_device_info: Any) -> Path | None:
    """The file that a server boots from, where that is a volume; hosts have no others."""
    for each in driver.block_device_info_get_mapping(block_device_info):
        if each["boot_index"] == 0:
            return Path(each["connection_info"]["data"]["device_path"])
    return None


def _nameservers(network_info: Any) -> list[str]:
    return [dns["address"] for vif in network_info for subnet in vif["network"]["subnets"] for dns in subnet["dns"]]
