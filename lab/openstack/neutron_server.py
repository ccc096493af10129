"""neutron-server that can list ports as the first thing it does: ``python -m lab.openstack.neutron_server``.

Neutron's list of ports names an attribute that SQLAlchemy adds to the model of a port only once the models are
configured, and that happens at a process's first query. A worker that is asked for ports before anything else answers
500, and goes on doing so until it is asked for something else. So each worker configures its models as it starts.
Run by the OpenStack environment's Python.
"""

from __future__ import annotations

import importlib
import sys
from typing import Any


def main() -> int:
    """Run neutron-server until it is stopped.

    Returns:
        Its exit code.
    """
    # First, because importing it is what patches the standard library for eventlet.
    server = importlib.import_module("neutron.cmd.eventlet.server")
    callbacks = importlib.import_module("neutron_lib.callbacks.registry")
    events = importlib.import_module("neutron_lib.callbacks.events")
    resources = importlib.import_module("neutron_lib.callbacks.resources")
    callbacks.subscribe(_configure_models, resources.PROCESS, events.AFTER_INIT)
    return int(server.main() or 0)


def _configure_models(*_: Any, **__: Any) -> None:
    importlib.import_module("sqlalchemy.orm").configure_mappers()


if __name__ == "__main__":
    sys.exit(main())
