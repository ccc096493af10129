"""Cinder's API, scheduler and volume service under one parent: ``python -m lab.openstack.cinder_services``.

Each is a process of its own, as by Cinder's commands, but they are forked from one that has imported all of Cinder:
that takes a third of the time and memory. Run by the OpenStack environment's Python.
"""

from __future__ import annotations

import importlib
import sys

_BACKEND = "files"


def main() -> int:
    """Run the services until they are stopped.

    Returns:
        Their exit code.
    """
    # First, because importing it is what patches the standard library for eventlet.
    command = importlib.import_module("cinder.cmd.volume")
    config = importlib.import_module("cinder.common.config")
    context = importlib.import_module("oslo_privsep.priv_context")
    coordination = importlib.import_module("cinder.coordination")
    database = importlib.import_module("cinder.db.api")
    logging = importlib.import_module("oslo_log.log")
    objects = importlib.import_module("cinder.objects")
    rpc = importlib.import_module("cinder.rpc")
    service = importlib.import_module("cinder.service")
    version = importlib.import_module("cinder.version")

    objects.register_all()
    command.CONF(sys.argv[1:], project="cinder", version=version.version_string())
    config.set_middleware_defaults()
    logging.setup(command.CONF, "cinder")
    context.init(root_helper=["env"])
    command.os_brick.setup(command.CONF)
    coordination.COORDINATOR.start()
    rpc.init(command.CONF)

    host = command.CONF.host
    create = service.Service.create
    services = [
        create(host=host, binary="cinder-scheduler"),
        create(host=f"{host}@{_BACKEND}", service_name=_BACKEND, binary="cinder-volume", coordination=True),
        service.WSGIService("osapi_volume"),
    ]
    launcher = service.process_launcher()
    for each in services:
        # A child must not share its parent's connections.
        database.dispose_engine()
        launcher.launch_service(each)
    until_stopped = launcher.wait
    return int(until_stopped() or 0)


if __name__ == "__main__":
    sys.exit(main())
