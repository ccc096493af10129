"""What the code of a recipe says: in a key, it changes with the code, and not with comments, docstrings or layout."""

from __future__ import annotations

import ast
import hashlib
from collections.abc import Iterator, Sequence
from functools import lru_cache
from pathlib import Path
from typing import Final

_ROOT: Final = Path(__file__).resolve().parent.parent
_OURS: Final = "lab"
FRAME: Final = frozenset({
    *("lab.artifact", "lab.code", "lab.command", "lab.files", "lab.lock", "lab.steps"),
    *("lab.layout", "lab.services", "lab.supervisor"),
    # Of a file of versions a recipe uses some: it pins those by name.
    "lab.versions",
})  # fmt: skip
"""How a recipe is run, and where: nothing of it is in what the recipe makes."""


def modules(start: Path) -> Sequence[tuple[str, str]]:
    """The code that a module stands on: its own, and that of all it imports of this lab.

    Args:
        start: the module's file.

    Returns:
        Names of files, without those of :data:`FRAME`, each with the digest of its code, in a steady order.
    """
    found: dict[Path, str] = {}
    waiting = [start]
    while waiting:
        file = waiting.pop()
        if file not in found:
            found[file], imports = _read(file)
            waiting += [_file(module) for module in imports if module not in FRAME]
    return sorted((file.name, digest) for file, digest in found.items())


@lru_cache(maxsize=256)
def _parsed(file: Path, _changed: int) -> tuple[str, tuple[str, ...]]:
    tree = ast.parse(file.read_text())
    imports = tuple(dict.fromkeys(_imported(tree)))
    return hashlib.sha256(ast.unparse(_Wordless().visit(tree)).encode()).hexdigest(), imports


def _read(file: Path) -> tuple[str, tuple[str, ...]]:
    """Digest of a module's code, and the modules of the lab that it imports."""
    return _parsed(file, file.stat().st_mtime_ns)


class _Wordless(ast.NodeTransformer):
    """Leaves out the docstrings, of modules, functions and values alike."""

    def visit_Expr(self, node: ast.Expr) -> ast.AST | None:
        return None if isinstance(node.value, ast.Constant) and isinstance(node.value.value, str) else node


def _imported(tree: ast.Module) -> Iterator[str]:
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            inner = {alias.name: f"{node.module}.{alias.name}" for alias in node.names}
            names = [each if _is_ours(each) else node.module for each in inner.values()]
        else:
            continue
        yield from (name for name in names if _is_ours(name))


def _is_ours(module: str) -> bool:
    return module.partition(".")[0] == _OURS and _file(module).is_file()


def _file(module: str) -> Path:
    path = _ROOT.joinpath(*module.split("."))
    return path / "__init__.py" if path.is_dir() else path.with_suffix(".py")
