"""What a ``go.mod`` pins directly: modules that a person raises, not those that come with them."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Final

_BLOCK: Final = re.compile(r"^(require|replace|tool) \(\n(.*?)^\)", re.MULTILINE | re.DOTALL)
_LINE: Final = re.compile(r"^(require|replace|tool) ([^(\n]+)$", re.MULTILINE)
_INDIRECT: Final = "// indirect"


def direct(file: Path) -> list[tuple[str, str]]:
    """Find the modules that a ``go.mod`` pins directly, each with its version (``v1.2.3``).

    These are the requirements not marked as indirect, the modules of the tools (what the lab builds: Go marks these as
    indirect where no file imports them), and modules that are replaced by another one. Replacements of a module by
    another version of itself go with the module that asks for it (``k8s.io/api`` with ``k8s.io/kubernetes``).
    """
    text = file.read_text()
    required = dict(_required(text))
    chosen = [module for module, line in _lines(text, "require") if _INDIRECT not in line]
    chosen += [module for tool in _tools(file) if (module := _module(tool, required))]
    found = {module: required[module] for module in chosen}
    return sorted({**found, **dict(_replacements(text))}.items())


def _lines(text: str, directive: str) -> Iterator[tuple[str, str]]:
    """Lines of a directive, in blocks and alone, each after its first word."""
    blocks = [line for name, body in _BLOCK.findall(text) if name == directive for line in body.splitlines()]
    for line in (*blocks, *(rest for name, rest in _LINE.findall(text) if name == directive)):
        if line.strip() and not line.strip().startswith("//"):
            yield line.split()[0], line.strip()


def _required(text: str) -> Iterator[tuple[str, str]]:
    for module, line in _lines(text, "require"):
        yield module, line.split()[1]


def _tools(file: Path) -> list[str]:
    """Packages that are built: of ``lab/go/etcd-3.6.6``, those of ``lab/go/etcd``."""
    plain = file.parent.with_name(re.sub(r"-[0-9.]+$", "", file.parent.name)) / file.name
    return [tool for tool, _ in _lines(plain.read_text(), "tool")] if plain.exists() else []


def _module(package: str, required: dict[str, str]) -> str | None:
    """The module that a package is of: the longest path that it begins with."""
    fitting = [module for module in required if f"{package}/".startswith(f"{module}/")]
    return max(fitting, key=len, default=None)


def _replacements(text: str) -> Iterator[tuple[str, str]]:
    for module, line in _lines(text, "replace"):
        target = line.partition("=>")[2].split()
        # A folder of this repository has no version.
        if len(target) > 1 and target[0] != module:
            yield target[0], target[1]
