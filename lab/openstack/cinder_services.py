"""cinder-volume with Cinder's scheduler and API beside it: ``python -m lab.openstack.cinder_services``.

Each is a process of its own, as by Cinder's commands, but they are forked from one that has imported all of Cinder:
that takes a third of the time and memory. Run by the OpenStack environment's Python.
"""

from __future__ import annotations

import importlib
import sys
from typing import Any


def main() -> int:
    """Run the services until they are stopped.

    Returns:
        Their exit code.
    """
    # First, because importing it is what patches the standard library for eventlet.
    command = importlib.import_module("cinder.cmd.volume")
    command.service.get_launcher = _with_the_others
    return int(command.main() or 0)


def _with_the_others() -> Any:
    """What cinder-volume is launched by, once its configuration is read, with the other two services launched."""
    importlib.import_module("cinder.common.config").set_middleware_defaults()
    importlib.import_module("cinder.coordination").COORDINATOR.start()
    database, service = (importlib.import_module(name) for name in ("cinder.db.api", "cinder.service"))
    launcher = service.process_launcher()
    for each in (service.Service.create(binary="cinder-scheduler"), service.WSGIService("osapi_volume")):
        # A child must not share its parent's connections.
        database.dispose_engine()
        launcher.launch_service(each)
    return launcher


if __name__ == "__main__":
    sys.exit(main())
