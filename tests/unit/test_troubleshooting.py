"""The messages that docs/troubleshooting.md quotes are the program's, and none of a step's is forgotten."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from functools import cache
from typing import Final

import pytest

from q8s_infra.render.templates import REPOSITORY

PAGE: Final = REPOSITORY / "docs/troubleshooting.md"
SCRIPTS: Final = sorted((REPOSITORY / "hostscripts").glob("*.sh"))
PROGRAM: Final = sorted([*(REPOSITORY / "q8s_infra").rglob("*.py"), *(REPOSITORY / "hostscripts").glob("*.py")])
IN_THE_GUEST: Final = REPOSITORY / "cloudinit/guest/q8s-join.sh"

FOREIGN: Final = {
    # Of Pulumi's command provider; a test of the lab has seen it.
    "host key mismatch": REPOSITORY / "tests/lab/test_faults.py",
    # Of Pulumi itself.
    "the stack is currently locked": REPOSITORY / "README.md",
    # Of its backend in files.
    "failed to load checkpoint: EOF": REPOSITORY / "lab/stack.py",
}
"""Messages of other programs, and where else the repository has them."""

LEFT_OUT: Final = {
    # Who logs in is this user, so where there is none no step begins.
    "access.user: there is no user ... on this host",
    # Of files and services that are this program's own; they say themselves where to look, or there is nothing to set.
    "HAProxy refuses /etc/haproxy/haproxy.cfg: see ...",
    "containerd does not answer: see journalctl -u containerd",
    "kernel settings of /etc/sysctl.d/90-q8s.conf are refused",
    "the forwarding rules are not in place",
    "pods are not kept from the cloud's metadata: see journalctl -u q8s-metadata",
}
"""Messages of steps that the page leaves out."""

VARIES: Final = "..."
_EXPANSION: Final = re.compile(r"\$(?:\{[^}]*\}|\w+|\*)")


def quoted() -> list[str]:
    """The page's messages: lines of its text blocks, and first cells of its tables."""
    page = PAGE.read_text()
    blocks = re.findall(r"^```text\n(.*?)^```$", page, re.MULTILINE | re.DOTALL)
    return [
        *(line for block in blocks for line in block.splitlines()),
        *re.findall(r"^\| `(.+?)` \|", page, re.MULTILINE),
    ]


def fixed_parts(message: str) -> list[str]:
    """What of a message does not vary; a field and what is said of it are apart in the source."""
    parts = (part.strip(" :;,()") for part in re.split(r"\.\.\.|: ", message))
    return [part for part in parts if part]


@cache
def texts() -> list[str]:
    """What each module says, its literals as they are put together; and what steps say, who share their libraries."""
    modules = ["\n".join(_literals(ast.parse(module.read_text()))) for module in PROGRAM]
    return [*modules, "\n".join(script.read_text() for script in SCRIPTS), IN_THE_GUEST.read_text()]


def _literals(tree: ast.AST) -> Iterator[str]:
    explained = {id(node.value) for node in ast.walk(tree) if isinstance(node, ast.Expr)}
    for node in ast.walk(tree):
        if isinstance(node, ast.JoinedStr):
            yield "".join(str(part.value) if isinstance(part, ast.Constant) else VARIES for part in node.values)
        elif isinstance(node, ast.Constant) and isinstance(node.value, str) and id(node) not in explained:
            yield node.value


def failures(script: str) -> Iterator[str]:
    """The messages of a script's ``fail "..."``, with dots for what the shell fills in."""
    for start in re.finditer(r'(?<![\w-])fail "', script):
        yield _message(script[start.end() :])


def _message(rest: str) -> str:
    """A double-quoted word of a shell, up to its closing quote."""
    said = ""
    while rest[0] != '"':
        if rest.startswith("$("):
            taken = _command(rest)
        elif match := _EXPANSION.match(rest):
            taken = match.end()
        else:
            said, rest = said + rest[0], rest[1:]
            continue
        said, rest = said + VARIES, rest[taken:]
    return said


def _command(text: str) -> int:
    """The length of a command substitution, or of an arithmetic one."""
    depth = 0
    for place, character in enumerate(text):
        depth += {"(": 1, ")": -1}.get(character, 0)
        if character == ")" and depth == 0:
            return place + 1
    raise ValueError(f"no end: {text[:40]}")


def says(message: str, template: str) -> bool:
    """Whether a message is one of these; what varies may stand there in full."""
    return re.fullmatch(".+".join(map(re.escape, template.split(VARIES))), message) is not None


FAILURES: Final = sorted({message for script in SCRIPTS for message in failures(script.read_text())})


@pytest.mark.parametrize("message", quoted())
def test_a_quoted_message_is_the_programs(message: str) -> None:
    if message in FOREIGN:
        assert message in FOREIGN[message].read_text()
        return
    parts = fixed_parts(message)
    assert max(map(len, parts)) > 5, "what does not vary is too short to be found"
    assert any(all(part in text for part in parts) for text in texts()), f"nothing says {parts}"


@pytest.mark.parametrize("template", FAILURES)
def test_each_failure_of_a_step_is_on_the_page_or_left_out(template: str) -> None:
    assert any(says(message, template) for message in quoted()) != (template in LEFT_OUT)


def test_what_is_left_out_is_there() -> None:
    assert set(FAILURES) >= LEFT_OUT


def test_all_failures_are_read() -> None:
    code = re.sub(r"^\s*#.*", "", "\n".join(script.read_text() for script in SCRIPTS), flags=re.MULTILINE)
    assert len(re.findall(r"(?<![\w-])fail \S", code)) == len(list(failures(code))) > 40


def test_a_failure_is_read_as_a_person_sees_it() -> None:
    script = """
# fail MESSAGE...: stop
x || fail "wrong $a of ${b//,/ or }: $(cut -d' ' "$c" | (cat)) s, $((1 + (2))) $*"; y || fail "$sums.gpg"
"""
    assert list(failures(script)) == ["wrong ... of ...: ... s, ... ...", "....gpg"]
    assert says("cannot download ...: is it there?", "cannot download ...: ...")
    assert not says("the API server is not ready after its upgrade", "the API server is not ready")
