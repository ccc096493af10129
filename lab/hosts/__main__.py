"""``python -m lab.hosts list|stop INSTANCES``: look after hosts without Nova; run it inside the lab's namespace."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from lab.hosts import lifecycle
from lab.hosts.host import all_hosts


def main(arguments: list[str] | None = None) -> int:
    """List hosts, or stop them all and leave only their disks.

    Returns:
        Exit code.
    """
    parser = argparse.ArgumentParser(prog="python -m lab.hosts", description=__doc__)
    parser.add_argument("action", choices=["list", "stop"])
    parser.add_argument("instances", type=Path, help="Nova's instances_path")
    options = parser.parse_args(arguments)
    if options.action == "stop":
        stopped = lifecycle.stop_all(options.instances)
        print(f"{len(stopped)} hosts stopped")
        return 0
    for host in all_hosts(options.instances):
        print(host.uuid, host.name, host.hostname, "running" if lifecycle.is_running(host) else "off")
    return 0


if __name__ == "__main__":
    sys.exit(main())
