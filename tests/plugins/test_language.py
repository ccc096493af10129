"""The language host: programs that end well, badly, or not at all."""

from __future__ import annotations

import signal
from textwrap import dedent
from typing import TYPE_CHECKING

from tests.plugins.conftest import processes_in, wait_until

if TYPE_CHECKING:
    from pathlib import Path

    from tests.plugins.conftest import Stack


def test_output_configuration_and_interpreter(stack: Stack) -> None:
    stack.run("config", "set", "plain", "seen")
    stack.run("config", "set", "--secret", "hidden", "secret-0123456789")
    (stack.directory / "helper.py").write_text("")
    output = stack.up(
        dedent("""
        import sys
        import helper
        import pulumi
        config = pulumi.Config()
        print("printed by the program")
        pulumi.log.warn("a warning of the program")
        pulumi.export("plain", config.require("plain"))
        pulumi.export("hidden", config.require_secret("hidden"))
        pulumi.export("file", helper.__file__)
        pulumi.export("python", sys.executable)
    """)
    )
    assert "printed by the program" in output
    assert "a warning of the program" in output
    assert "secret-0123456789" not in output + stack.state()
    outputs = stack.outputs()
    assert outputs["plain"] == "seen"
    assert outputs["hidden"] == "secret-0123456789"
    assert outputs["file"] == str(stack.directory / "helper.py")


def test_exception_shows_the_program_and_no_machinery(stack: Stack) -> None:
    output = stack.up("def fails():\n    raise ValueError('no such node')\n\nfails()\n", fails=True)
    assert "Program failed with an unhandled exception" in output
    assert "ValueError: no such node" in output
    assert '__main__.py", line 2, in fails' in output
    assert "runpy" not in output
    assert "lab/pulumi" not in output


def test_exception_in_an_apply(stack: Stack) -> None:
    output = stack.up(
        "import pulumi\npulumi.export('x', pulumi.Output.from_input(1).apply(lambda _: {}['missing']))\n", fails=True
    )
    assert "KeyError: 'missing'" in output


def test_syntax_error(stack: Stack) -> None:
    output = stack.up("x = = 1\n", fails=True)
    assert "SyntaxError: invalid syntax" in output
    assert '__main__.py", line 1' in output


def test_run_error_is_its_text_alone(stack: Stack) -> None:
    output = stack.up("import pulumi\nraise pulumi.RunError('workers: must not be negative')\n", fails=True)
    assert "workers: must not be negative" in output
    assert "Traceback" not in output


def test_exit_status(stack: Stack) -> None:
    assert "Program exited with non-zero exit code: 3" in stack.up("import sys\nsys.exit(3)\n", fails=True)
    stack.up("import sys\nsys.exit(0)\n")


def test_missing_program(stack: Stack) -> None:
    output = stack.run("up", "--yes", "--skip-preview", fails=True)
    assert "no Python program at" in output or "__main__.py" in output


def test_each_run_starts_anew(stack: Stack) -> None:
    # A preview and an update of one `pulumi up` are two runs under one language host.
    stack.write(
        "import os, pulumi, builtins\n"
        "pulumi.export('runs', getattr(builtins, 'runs', 0) + 1)\nbuiltins.runs = 1\n"
        "pulumi.export('variable', os.environ.get('LEFT'))\nos.environ['LEFT'] = 'behind'\n"
    )
    stack.run("up", "--yes")
    assert stack.outputs() == {"runs": 1, "variable": None} or stack.outputs() == {"runs": 1}


def _hang(stack: Stack, tmp_path: Path) -> None:
    stack.write(f"import time, pathlib\npathlib.Path({str(tmp_path)!r}, 'started').touch()\ntime.sleep(300)\n")


def test_interrupted_program(stack: Stack, tmp_path: Path) -> None:
    _hang(stack, tmp_path)
    process = stack.start("up", "--yes", "--skip-preview")
    wait_until((tmp_path / "started").exists)
    # A second interrupt asks the engine not to wait for the program.
    process.send_signal(signal.SIGINT)
    process.send_signal(signal.SIGINT)
    process.communicate(timeout=60)
    wait_until(lambda: not processes_in(stack.directory))


def test_killed_engine_leaves_nothing(stack: Stack, tmp_path: Path) -> None:
    _hang(stack, tmp_path)
    process = stack.start("up", "--yes", "--skip-preview")
    wait_until((tmp_path / "started").exists)
    process.kill()
    process.wait()
    wait_until(lambda: not processes_in(stack.directory))
    if process.stdout:
        process.stdout.close()
