"""Nothing in the lab waits for ever: every call that can wait has a limit."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

from lab.artifact import REPOSITORY

LAB = REPOSITORY / "lab"
COVERED = (".", "hosts", "hosts/driver", "images", "mirrors", "openstack")
"""Files, and folders without those in them."""
PROCESSES = {"run", "call", "check_call", "check_output"}
ENDLESS = {"getoutput", "getstatusoutput", "system", "popen", "wait", "wait3", "wait4", "waitpid", "waitid"}
"""Of the modules subprocess and os: they know no limit."""
WAITING = {"wait", "result", "join"}
"""Methods whose first argument is the limit, and which wait for ever without one."""
POSITIONS = {"create_connection": 2, "urlopen": 3, "HTTPConnection": 3, "HTTPSConnection": 5}
"""Functions with a ``timeout``, and which argument that is."""
LIMITS = {"timeout", "api_timeout", "transport"}
"""Keywords that set a limit: the second is the OpenStack SDK's, the third hands XML-RPC's over to what has one."""


def calls_without_limit(source: str) -> Iterator[str]:
    """The calls in a module that may wait for ever, as they are written."""
    tree = ast.parse(source)
    imported = {
        name.asname or name.name: f"{node.module}.{name.name}"
        for node in ast.walk(tree)
        if isinstance(node, ast.ImportFrom)
        for name in node.names
    }
    limited = {
        id(argument)
        for node in ast.walk(tree)
        if isinstance(node, ast.Call) and ast.unparse(node.func) == "asyncio.wait_for"
        for argument in ast.walk(node)
        if argument is not node
    }
    entered = {id(item.context_expr) for node in ast.walk(tree) if isinstance(node, ast.With) for item in node.items}
    for node in ast.walk(tree):
        if isinstance(node, ast.Call) and id(node) not in limited:
            function = ast.unparse(node.func)
            first, *others = function.split(".")
            function = ".".join([imported.get(first, first), *others])
            if _may_wait(function, node, entered=id(node) in entered):
                yield ast.unparse(node)


def _may_wait(function: str, call: ast.Call, *, entered: bool) -> bool:
    """Whether a call may wait for ever.

    Args:
        function: what is called, with its module as far as that is told by the imports.
        call: the call.
        entered: it is the context of a ``with`` statement.
    """
    *_, module, name = ["", *function.split(".")]
    unlimited = not {keyword.arg for keyword in call.keywords} & LIMITS
    if module == "subprocess" and name == "Popen":
        # Leaving the context waits.
        return entered
    if module in {"subprocess", "os"} and name in ENDLESS:
        return True
    if name in POSITIONS:
        return unlimited and len(call.args) < POSITIONS[name]
    return unlimited and (
        (module == "subprocess" and name in PROCESSES)
        or (function.startswith("openstack.") and name in {"connect", "Connection"})
        or (name == "ServerProxy")
        or (module != "" and name == "communicate")
        or (module != "" and name in WAITING and not call.args)
    )


def sources() -> list[Path]:
    """The modules that are covered."""
    return [
        file
        for path in (LAB / covered for covered in COVERED)
        for file in ([path] if path.is_file() else sorted(path.glob("*.py")))
    ]


def test_no_parameters_are_an_error(pytestconfig: pytest.Config) -> None:
    # Else nothing would be covered, should the sources not be found.
    assert pytestconfig.getini("empty_parameter_set_mark") == "fail_at_collect"


@pytest.mark.parametrize("file", sources(), ids=lambda file: str(file.relative_to(LAB)))
def test_every_call_that_waits_has_a_limit(file: Path) -> None:
    assert list(calls_without_limit(file.read_text())) == []


@pytest.mark.parametrize(
    "source",
    [
        "import subprocess; subprocess.run(['a'], check=True)",
        "import subprocess; subprocess.check_output(['a'])",
        "from subprocess import check_call; check_call(['a'])",
        "from subprocess import run as start; start(['a'])",
        "import subprocess; subprocess.Popen(['a']).wait()",
        "import subprocess; subprocess.Popen(['a']).communicate('text')",
        "import subprocess\nwith subprocess.Popen(['a']) as process: pass",
        "import subprocess; subprocess.getoutput('a')",
        "import os; os.waitpid(1, 0)",
        "def f(event): event.wait()",
        "def f(thread): thread.join()",
        "def f(future): return [future.result()]",
        "import socket; socket.create_connection(('a', 1))",
        "import urllib.request; urllib.request.urlopen('a')",
        "import http.client; http.client.HTTPConnection('a')",
        "import xmlrpc.client; xmlrpc.client.ServerProxy('a')",
        "import openstack; openstack.connect(cloud='a')",
        "from openstack.connection import Connection; Connection(cloud='a')",
        "import asyncio\nasync def f(event): await event.wait()",
    ],
)
def test_a_call_without_a_limit_is_found(source: str) -> None:
    assert len(list(calls_without_limit(source))) == 1


@pytest.mark.parametrize(
    "source",
    [
        "import subprocess; subprocess.run(['a'], timeout=1)",
        "import subprocess; subprocess.Popen(['a']).wait(1)",
        "import subprocess; subprocess.Popen(['a']).communicate(timeout=1)",
        "from lab.command import run; run('a', limit=1)",
        "import os; os.execvp('a', ['a'])",
        "import os; os.path.join('a', 'b')",
        "import socket; socket.create_connection(('a', 1), 1)",
        "import urllib.request; urllib.request.urlopen('a', timeout=1)",
        "import openstack; openstack.connect(cloud='a', api_timeout=1)",
        "def f(future): future.result(timeout=1)",
        "import asyncio\nasync def f(event): await asyncio.wait_for(event.wait(), 1)",
    ],
)
def test_a_call_with_a_limit_is_not(source: str) -> None:
    assert list(calls_without_limit(source)) == []
