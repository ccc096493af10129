"""nova-compute with the lab's driver: ``python -m lab.hosts.nova_compute --config-file ...``.

Run by the OpenStack environment's Python, with this repository on ``PYTHONPATH`` and ``[DEFAULT] compute_driver =
nspawn.NspawnDriver`` in its configuration. Nova loads drivers from the package ``nova.virt`` only, so that package is
made to look in our folder too.
"""

from __future__ import annotations

import importlib
import sys
from pathlib import Path


def main() -> int:
    """Run nova-compute until it is stopped.

    Returns:
        Its exit code.
    """
    # First, because importing it is what patches the standard library for eventlet.
    compute = importlib.import_module("nova.cmd.compute")
    virt = importlib.import_module("nova.virt")
    virt.__path__.append(str(Path(__file__).with_name("driver")))
    return int(compute.main() or 0)


if __name__ == "__main__":
    sys.exit(main())
