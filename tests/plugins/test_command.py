"""The command plugin under the real engine, against a real sshd."""

from __future__ import annotations

import re
import signal
import time
from textwrap import dedent
from typing import TYPE_CHECKING

from tests.plugins.conftest import processes_in, wait_until

if TYPE_CHECKING:
    from pathlib import Path

    from tests.plugins.conftest import SshServer, Stack


def _remote(server: SshServer, arguments: str, connection: str = "", host_key: str | None = None) -> str:
    """A program with one remote command, named "c"."""
    return dedent(f"""
        import pulumi
        from pulumi_command import remote
        server = remote.ConnectionArgs(
            host="127.0.0.1", port={server.port}, user="root", private_key={server.private_key!r},
            host_key={host_key or server.host_key!r}, {connection})
        c = remote.Command("c", connection=server, {arguments})
        pulumi.export("out", c.stdout)
        pulumi.export("err", c.stderr)
    """)


def test_life_of_a_remote_command(stack: Stack, sshd: SshServer, tmp_path: Path) -> None:
    trace = tmp_path / "trace"
    first = f'create="echo made | tee -a {trace}; echo aside >&2", update="echo changed | tee -a {trace}", '
    gone = f'delete="echo gone >> {trace}"'
    output = stack.up(_remote(sshd, f"{first}{gone}, triggers=[1]"))
    assert "stand-in for the official command plugin" in output
    assert stack.outputs() == {"out": "made", "err": "aside"}

    assert stack.preview() == {}
    stack.up()
    assert trace.read_text().split() == ["made"]

    changed = _remote(sshd, f'{first}{gone}, triggers=[1], stdin="more"')
    assert stack.preview(changed) == {"c": "update"}
    stack.up(changed)
    assert stack.outputs()["out"] == "changed"

    replaced = _remote(sshd, f'{first}{gone}, triggers=[2], stdin="more"')
    assert stack.preview(replaced)["c"] in {"replace", "create-replacement"}
    stack.up(replaced)
    stack.run("destroy", "--yes")
    assert trace.read_text().split() == ["made", "changed", "made", "gone", "gone"]


def test_update_falls_back_on_create(stack: Stack, sshd: SshServer) -> None:
    stack.up(_remote(sshd, 'create="echo one"'))
    stack.up(_remote(sshd, 'create="echo two"'))
    assert stack.outputs()["out"] == "two"


def test_connection_change_updates(stack: Stack, sshd: SshServer) -> None:
    stack.up(_remote(sshd, 'create="echo one"'))
    assert stack.preview(_remote(sshd, 'create="echo one"', "per_dial_timeout=5")) == {"c": "update"}


def test_other_host_key_is_refused(stack: Stack, sshd: SshServer, tmp_path: Path) -> None:
    create = f'create="touch {tmp_path}/ran"'
    output = stack.up(_remote(sshd, create, "dial_error_limit=1", sshd.other_host_key), fails=True)
    assert "host key mismatch" in output
    assert "after 1 failed attempts" in output
    assert not (tmp_path / "ran").exists()


def test_refused_connection_names_the_address(stack: Stack, sshd: SshServer) -> None:
    program = _remote(sshd, 'create="true"', "dial_error_limit=1").replace(f"port={sshd.port}", "port=1")
    output = stack.up(program, fails=True)
    assert "127.0.0.1 port 1: after 1 failed attempts" in output


def test_secret_stdin_reaches_only_the_command(stack: Stack, sshd: SshServer) -> None:
    secret = "token-0123456789"
    arguments = f'create="wc -c", stdin=pulumi.Output.secret("{secret}")'
    output = stack.up(_remote(sshd, arguments))
    assert stack.outputs()["out"] == str(len(secret))
    key = sshd.private_key.splitlines()[2]
    for text in (output, stack.state(), stack.run("preview", "--diff"), stack.run("stack", "export")):
        assert secret not in text
        assert key not in text


def test_logging_chooses_the_streams_shown(stack: Stack, sshd: SshServer) -> None:
    both = 'create="echo to-$((40+1)); echo to-$((40+2)) >&2", '
    output = stack.up(_remote(sshd, f'{both} logging="stderr"'))
    assert "to-42" in output
    assert "to-41" not in output.split("Outputs:")[0]
    output = stack.up(_remote(sshd, f'{both} logging="none", stdin="x"'))
    assert "to-4" not in output.split("Outputs:")[0]


def test_failed_command_tells_status_and_output(stack: Stack, sshd: SshServer) -> None:
    output = stack.up(_remote(sshd, 'create="echo seen; echo why >&2; exit 7"'), fails=True)
    assert "Process exited with status 7" in output
    assert re.search(r"running .*:\n\s*seen\n\s*why", output)


def test_failed_update_keeps_the_former_state(stack: Stack, sshd: SshServer) -> None:
    stack.up(_remote(sshd, 'create="echo good"'))
    stack.up(_remote(sshd, 'create="false"'), fails=True)
    assert stack.outputs()["out"] == "good"


def test_environment_and_former_output(stack: Stack, sshd: SshServer) -> None:
    stack.up(_remote(sshd, 'create="echo $Q8S_A", environment={"Q8S_A": "passes"}'))
    assert stack.outputs()["out"] == "passes"
    output = stack.up(_remote(sshd, 'create="true", environment={"OTHER": "x"}'), fails=True)
    assert "AcceptEnv" in output
    stack.up(_remote(sshd, 'create="true", add_previous_output_in_env=False'))


def test_long_line_passes(stack: Stack, sshd: SshServer) -> None:
    stack.up(_remote(sshd, 'create="head -c 200000 /dev/zero | tr \\\\\\\\0 x"'))
    assert len(stack.outputs()["out"]) == 200_000


def test_commands_run_side_by_side(stack: Stack, sshd: SshServer) -> None:
    many = dedent("""
        for number in range(20):
            remote.Command(f"sleeper-{number}", connection=server, create="sleep 2")
    """)
    started = time.monotonic()
    stack.up(_remote(sshd, 'create="true"') + many, "--parallel", "64")
    assert time.monotonic() - started < 15


def _interrupt(stack: Stack, started: Path) -> str:
    """Update, interrupt once ``started`` is there, and see that no process of the engine's is left."""
    process = stack.start("up", "--yes", "--skip-preview")
    wait_until(started.exists)
    process.send_signal(signal.SIGINT)
    output, _ = process.communicate(timeout=60)
    assert process.returncode != 0
    wait_until(lambda: not processes_in(stack.directory))
    return output


def test_interrupt_gives_up_a_remote_command(stack: Stack, sshd: SshServer, tmp_path: Path) -> None:
    # What runs there gets a SIGTERM, which sshd passes on for users other than root alone.
    stack.write(_remote(sshd, f'create="touch {tmp_path}/started; sleep 5; sleep 5; sleep 5"'))
    assert "create: the update was cancelled" in _interrupt(stack, tmp_path / "started")


def test_interrupt_ends_a_local_command_and_its_children(stack: Stack, tmp_path: Path) -> None:
    stack.write(_local(f'create="touch {tmp_path}/started; sleep 60 & wait"'))
    assert "create: the update was cancelled" in _interrupt(stack, tmp_path / "started")


def test_through_a_bastion(stack: Stack, sshd: SshServer) -> None:
    proxy = (
        f'proxy=remote.ProxyConnectionArgs(host="127.0.0.1", port={sshd.port}, user="root", '
        f"private_key={sshd.private_key!r}, host_key={sshd.host_key!r})"
    )
    stack.up(_remote(sshd, 'create="echo $SSH_CONNECTION"', proxy))
    assert stack.outputs()["out"].endswith(f"127.0.0.1 {sshd.port}")


def test_wrong_inputs_are_refused_together(stack: Stack, sshd: SshServer) -> None:
    output = stack.up(_remote(sshd, 'create="true", logging="loud"', "agent_socket_path=3"), fails=True)
    assert '"loud" is not one of' in output
    assert "connection.agentSocketPath" in output


def _local(arguments: str) -> str:
    return dedent(f"""
        import pulumi
        from pulumi_command import local
        c = local.Command("c", {arguments})
        pulumi.export("out", c.stdout)
    """)


def test_local_command(stack: Stack, tmp_path: Path) -> None:
    stack.up(
        _local(f"""create="pwd; cat; echo $A", dir={str(tmp_path)!r}, stdin="in ", environment={{"A": "b"}},
        delete="echo $PULUMI_COMMAND_STDOUT > {tmp_path}/gone" """)
    )
    assert stack.outputs()["out"] == f"{tmp_path}\nin b"
    assert "exit status 3" in stack.up(_local('create="exit 3"'), fails=True)
    stack.run("destroy", "--yes")
    assert (tmp_path / "gone").read_text() == f"{tmp_path} in b\n"


def test_local_command_sees_nothing_of_the_plugin(stack: Stack) -> None:
    stack.up(_local('create="env | sed -n /^PYTHON/p"'))
    assert stack.outputs()["out"] == ""


def test_unsupported_is_refused(stack: Stack) -> None:
    output = stack.up(_local('create="true", asset_paths=["*"]'), fails=True)
    assert "not supported by the stand-in" in output
