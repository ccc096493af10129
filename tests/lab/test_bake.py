"""An image of a prepared host: a worker on it installs and fetches nothing, and is nobody that was there before."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from openstack.connection import Connection

from lab import layout
from q8s_infra.hostkeys import derive
from q8s_infra.ssh import stack_keys
from tests.lab.conftest import Cluster, inside, leftovers, q8s, run
from tests.lab.test_secrets import LINE, hits, needles

__all__ = ["needles"]

pytestmark = [pytest.mark.full, pytest.mark.timeout(1800)]

ADDED, IMAGE = "test-x86-small-1", "test-host"
ENOUGH = 1 << 30
"""Bytes: two images, two payloads, two states, and packages."""


@pytest.fixture(scope="module")
def baked(cluster: Cluster, cloud: Connection) -> Iterator[str]:
    """What `bake` has printed; its image and the worker on it are gone at the end."""
    done = q8s(cluster.stack.name, "bake")
    assert done.returncode == 0, done.stdout
    yield done.stdout
    cluster.configure()
    cluster.up()
    for image in cloud.image.images(name=IMAGE):
        cloud.image.delete_image(image)


def test_an_image_has_no_secret(cluster: Cluster, cloud: Connection, baked: str, needles: Path, tmp_path: Path) -> None:
    assert f"image: {IMAGE} (" in baked
    keys = stack_keys(cluster.stack.export_stack().deployment or {})
    own = LINE.findall(derive(keys.seed, "host/test-bake").private)
    assert own, "the host key of the instance that it was made of"
    sought = tmp_path / "needles"
    sought.write_text("\n".join([*needles.read_text().splitlines(), *own]))
    (image,) = cloud.image.images(name=IMAGE)
    file = layout.STATE / "glance/images" / image.id
    assert file.stat().st_size > ENOUGH, "all that workers need is on it"
    assert not hits(sought, file)


def test_a_worker_on_a_baked_host(cluster: Cluster, cloud: Connection, baked: str) -> None:
    assert f"image: {IMAGE} (" in baked
    assert "note: " not in baked, "there are states of both types"
    assert not [name for name in leftovers(cloud, "test") if "bake" in name]

    def grown(described: dict[str, object]) -> None:
        described["hostImage"] = {"name": IMAGE}
        described["workers"] = {"x86-small": 2, "arm-small": 1}

    cluster.describe(grown)
    assert set(cluster.preview()) == {"create"}
    said = cluster.up()
    assert f"{ADDED}: the state of a guest of type x86-small is on this host's image" in said
    assert f"{ADDED}: going on from the state" in said
    assert cluster.kubectl.ready()[ADDED] == "True"

    of_another, here = (inside(cloud, node) for node in ("test-x86-small-0", ADDED))
    log = run(*here, "cat", "/var/log/q8s/prepare-worker.log")
    assert " 0 newly installed" in log
    assert not re.findall("^Get:|[1-9][0-9]* newly installed", log, re.MULTILINE)
    made = run(*here, "find", "/var/lib/libvirt/q8s/images", "-type", "f", "-newer", "/etc/machine-id")
    assert not made, "fetched by this host itself"
    for what in ("cat /etc/machine-id", "cat /etc/hostname", "cat /etc/ssh/ssh_host_*_key.pub"):
        assert run(*here, "sh", "-c", what) != run(*of_another, "sh", "-c", what)
    # No key of the host that the image is of.
    assert run(*here, "sh", "-c", "ls /etc/ssh/ssh_host_*_key").count("ssh_host_") == 1
