"""The files under ``cloudinit/`` and ``clusters/``, filled in."""

from __future__ import annotations

import base64
from pathlib import Path
from typing import Final

import yaml
from jinja2 import Environment, FileSystemLoader, StrictUndefined

REPOSITORY: Final = Path(__file__).resolve().parents[2]
CLOUDINIT: Final = REPOSITORY / "cloudinit"
CLUSTERS: Final = REPOSITORY / "clusters"

_environment = Environment(
    loader=FileSystemLoader([CLOUDINIT, CLUSTERS]),
    undefined=StrictUndefined,
    autoescape=False,  # noqa: S701 - YAML, not HTML
    keep_trailing_newline=True,
)
_environment.filters["b64"] = lambda text: base64.b64encode(text.encode()).decode()
# In ASCII: PyYAML writes some line breaks of Unicode as such, and reads them as spaces.
_environment.filters["yaml"] = lambda value: yaml.safe_dump(value, sort_keys=False, width=float("inf")).rstrip("\n")
_environment.filters["comment"] = lambda value: "".join(each if each.isprintable() else "?" for each in str(value))


def render(template: str, **values: object) -> str:
    """Fill in a template of ``cloudinit/`` or ``clusters/``.

    Raises:
        jinja2.UndefinedError: the template wants a value that is not given.
    """
    return _environment.get_template(template).render(**values)


def text(name: str) -> str:
    """A file of ``cloudinit/`` as it is."""
    return (CLOUDINIT / name).read_text(encoding="utf-8")
