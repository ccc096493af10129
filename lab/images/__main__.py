"""``python -m lab.images ARCHITECTURE [COMMAND...]``, in a mount namespace of its own: see :func:`foreign.main`."""

from __future__ import annotations

import sys

from lab.images import foreign

foreign.main(*sys.argv[1:])
