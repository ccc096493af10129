"""The files under ``cloudinit/``, filled in."""

from __future__ import annotations

import base64
from pathlib import Path
from typing import Final

from jinja2 import Environment, FileSystemLoader, StrictUndefined

REPOSITORY: Final = Path(__file__).resolve().parents[2]
CLOUDINIT: Final = REPOSITORY / "cloudinit"

_environment = Environment(
    loader=FileSystemLoader(CLOUDINIT),
    undefined=StrictUndefined,
    autoescape=False,  # noqa: S701 - YAML, not HTML
    keep_trailing_newline=True,
)
_environment.filters["b64"] = lambda text: base64.b64encode(text.encode()).decode()


def render(template: str, **values: object) -> str:
    """Fill in a template of ``cloudinit/``.

    Raises:
        jinja2.UndefinedError: the template wants a value that is not given.
    """
    return _environment.get_template(template).render(**values)


def text(name: str) -> str:
    """A file of ``cloudinit/`` as it is."""
    return (CLOUDINIT / name).read_text()
