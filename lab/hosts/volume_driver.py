"""Cinder's volume driver: every volume is a sparse file, on which a host that boots from it keeps all that it writes.

It is loaded into cinder-volume by its name in ``volume_driver``. ``$Q8S_VOLUMES`` is the folder of the files. As with
the compute driver, the image that a volume was made from is recorded but not looked at: the lab has one, and lays it
under the host's own files.
"""

# The signatures are Cinder's, which is importable in the OpenStack environment only.
# ruff: noqa: ARG002
# mypy: disable-error-code="import-not-found,misc,untyped-decorator"

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

from cinder import interface
from cinder.volume import driver

_CAPACITY_GIB = 4000


@interface.volumedriver
class FileDriver(driver.VolumeDriver):
    """Volumes as files; what is not overridden here is not supported."""

    VERSION = "1.0.0"

    @property
    def _folder(self) -> Path:
        return Path(os.environ["Q8S_VOLUMES"])

    def _file(self, volume: Any) -> Path:
        return self._folder / f"volume-{volume.id}"

    def check_for_setup_error(self) -> None:
        """Nothing: the lab makes the folder before any service starts."""

    def create_volume(self, volume: Any) -> None:
        """An empty file of the volume's size, which takes only what is written to it."""
        with self._file(volume).open("wb") as file:
            file.truncate(volume.size * 2**30)

    def clone_image(
        self, context: Any, volume: Any, image_location: Any, image_meta: Any, image_service: Any
    ) -> tuple[dict[str, Any], bool]:
        """Nothing is copied: the host's root comes from the lab's image, and its own files go to the volume."""
        self.create_volume(volume)
        return {}, True

    def delete_volume(self, volume: Any) -> None:
        """Remove the file."""
        self._file(volume).unlink(missing_ok=True)

    def initialize_connection(self, volume: Any, connector: Any) -> dict[str, Any]:
        """Say where the file is."""
        return {"driver_volume_type": "local", "data": {"device_path": str(self._file(volume))}}

    def terminate_connection(self, volume: Any, connector: Any, **_: Any) -> None:
        """Nothing: the compute driver lets go of the file."""

    def ensure_export(self, context: Any, volume: Any) -> None:
        """Nothing: a file needs no export."""

    def create_export(self, context: Any, volume: Any, connector: Any) -> None:
        """Nothing: a file needs no export."""

    def remove_export(self, context: Any, volume: Any) -> None:
        """Nothing: a file needs no export."""

    def _update_volume_stats(self) -> None:
        self._stats = {
            "volume_backend_name": "files",
            "vendor_name": "Q8S",
            "driver_version": self.VERSION,
            "storage_protocol": "local",
            "pools": [
                {
                    "pool_name": "files",
                    "total_capacity_gb": _CAPACITY_GIB,
                    "free_capacity_gb": _CAPACITY_GIB,
                    "reserved_percentage": 0,
                    "max_over_subscription_ratio": 1,
                    "thin_provisioning_support": False,
                }
            ],
        }
