"""The command plugin under the real engine, against a real sshd."""

from __future__ import annotations

import contextlib
import re
import signal
import socket
import subprocess
import threading
import time
from itertools import pairwise
from textwrap import dedent
from typing import TYPE_CHECKING

import pytest

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


def _long_line(length: int, stream: str = "stdout") -> str:
    return f"head -c {length} /dev/zero | tr \\\\\\\\0 x >/dev/{stream}"


@pytest.mark.parametrize("logging", ["none", "stderr"])
def test_long_line_passes_where_it_is_not_shown(stack: Stack, sshd: SshServer, logging: str) -> None:
    stack.up(_remote(sshd, f'create="{_long_line(200_000)}", logging="{logging}"'))
    assert len(stack.outputs()["out"]) == 200_000


def test_shown_line_of_under_64_kibibytes_passes(stack: Stack, sshd: SshServer) -> None:
    stack.up(_remote(sshd, f'create="{_long_line(60_000)}; echo; {_long_line(65_535)}; echo"'))
    assert len(stack.outputs()["out"]) == 60_000 + 1 + 65_535


@pytest.mark.parametrize("kind", ["local", "remote"])
def test_shown_line_of_over_64_kibibytes_stalls_its_command(
    stack: Stack, sshd: SshServer, tmp_path: Path, kind: str
) -> None:
    arguments = f'create="{_long_line(65_537)}; touch {tmp_path}/written"'
    stack.write(_local(arguments) if kind == "local" else _remote(sshd, arguments))
    process = stack.start("up", "--yes", "--skip-preview")
    wait_until((tmp_path / "written").exists)
    with pytest.raises(subprocess.TimeoutExpired):
        process.wait(4)
    _kill(stack, process)


def _until(condition: str) -> str:
    """Shell words that wait for a condition, and fail where it does not come true in half a minute."""
    return f"for _ in $(seq 150); do {condition} && break; sleep 0.2; done; {condition}"


def test_commands_run_side_by_side(stack: Stack, sshd: SshServer, tmp_path: Path) -> None:
    meet = f"touch {tmp_path}/$$.here; {_until(f'[ $(ls {tmp_path} | grep -c here) = 20 ]')}"
    many = dedent(f"""
        for number in range(20):
            remote.Command(f"meeting-{{number}}", connection=server, create={meet!r})
    """)
    stack.up(_remote(sshd, 'create="true"') + many, "--parallel", "64")


def _interrupt(stack: Stack, started: Path) -> str:
    """Update, interrupt once ``started`` is there, and see that no process of the engine's is left."""
    process = stack.start("up", "--yes", "--skip-preview")
    wait_until(started.exists)
    process.send_signal(signal.SIGINT)
    output, _ = process.communicate(timeout=60)
    assert process.returncode != 0
    wait_until(lambda: not processes_in(stack.directory))
    return output


def _kill(stack: Stack, process: subprocess.Popen[str]) -> None:
    """Kill the engine without a word, and see that its plugins follow."""
    process.kill()
    process.communicate(timeout=60)
    wait_until(lambda: not processes_in(stack.directory))


def test_interrupt_waits_for_a_remote_command(stack: Stack, sshd: SshServer, tmp_path: Path) -> None:
    arguments = f'create="touch {tmp_path}/started; sleep 3; touch {tmp_path}/ended; echo done"'
    stack.write(_remote(sshd, arguments))
    _interrupt(stack, tmp_path / "started")
    assert (tmp_path / "ended").exists()
    # It is a resource like any other, and not run again.
    assert stack.preview() == {}


def test_remote_command_outlives_a_killed_engine(stack: Stack, sshd: SshServer, tmp_path: Path) -> None:
    waits = _until(f"[ -e {tmp_path}/go ]")
    stack.write(_remote(sshd, f'create="touch {tmp_path}/started; {waits} && touch {tmp_path}/ended"'))
    process = stack.start("up", "--yes", "--skip-preview")
    wait_until((tmp_path / "started").exists)
    _kill(stack, process)
    assert not (tmp_path / "ended").exists()
    (tmp_path / "go").touch()
    wait_until((tmp_path / "ended").exists)


def test_time_limit_does_not_end_a_remote_command(stack: Stack, sshd: SshServer) -> None:
    limited = 'opts=pulumi.ResourceOptions(custom_timeouts=pulumi.CustomTimeouts(create="4s"))'
    stack.up(_remote(sshd, f'create="sleep 5; echo late", {limited}'))
    assert stack.outputs()["out"] == "late"


def _no_ssh(answer: bytes = b"") -> tuple[socket.socket, list[float]]:
    """A server that takes connections, says ``answer`` and hangs up where it has one; and when each came."""
    listener = socket.create_server(("127.0.0.1", 0))
    seen: list[float] = []
    held: list[socket.socket] = []  # a socket that nobody holds is closed

    def serve() -> None:
        with contextlib.suppress(OSError):
            while True:
                client, _ = listener.accept()
                seen.append(time.monotonic())
                if answer:
                    client.sendall(answer)
                    client.close()
                else:
                    held.append(client)

    threading.Thread(target=serve, daemon=True).start()
    return listener, seen


def _dialling(server: SshServer, listener: socket.socket, connection: str, arguments: str = "") -> str:
    """A program whose command dials ``listener`` and nothing else."""
    program = _remote(server, f'create="true", {arguments}', connection)
    return program.replace(f"port={server.port}", f"port={listener.getsockname()[1]}")


@pytest.mark.parametrize("how", ["time limit", "interrupt"])
def test_dialling_ends_where_a_command_does_not(stack: Stack, sshd: SshServer, how: str) -> None:
    limit = "opts=pulumi.ResourceOptions(custom_timeouts=pulumi.CustomTimeouts(create='2s'))"
    listener, seen = _no_ssh(b"not ssh\n")
    with listener:
        stack.write(_dialling(sshd, listener, "dial_error_limit=-1", limit if how == "time limit" else ""))
        process = stack.start("up", "--yes", "--skip-preview")
        if how == "interrupt":
            wait_until(lambda: len(seen) > 3)
            process.send_signal(signal.SIGINT)
        process.communicate(timeout=60)
    assert process.returncode != 0


def test_connections_stay_open(stack: Stack, sshd: SshServer) -> None:
    count = f"ss -Htn state established dport = :{sshd.port} | wc -l"
    program = _remote(sshd, 'create="true"') + dedent(f"""
        from pulumi_command import local
        others = [remote.Command(f"other-{{each}}", connection=server, create="true") for each in range(4)]
        open_now = local.Command("open", create={count!r}, opts=pulumi.ResourceOptions(depends_on=[c, *others]))
        pulumi.export("open", open_now.stdout)
    """)
    stack.up(program)
    assert stack.outputs()["open"] == "5"


def test_dials_back_off(stack: Stack, sshd: SshServer) -> None:
    """As documented: ``dialErrorLimit`` failures are forgiven, after 0.1 s and half as much again each time."""
    listener, seen = _no_ssh(b"not ssh\n")
    with listener:
        stack.up(_dialling(sshd, listener, "dial_error_limit=6"), fails=True)
    assert len(seen) == 7
    late = [after - before - 0.1 * 1.5**number for number, (before, after) in enumerate(pairwise(seen))]
    # Each came after its pause; at most two of the six were held up by other work of the machine.
    assert min(late) > -0.02, late
    assert sorted(late)[3] < 0.3, late


def test_dial_timeout_does_not_cover_the_handshake(stack: Stack, sshd: SshServer) -> None:
    listener, seen = _no_ssh()
    with listener:
        stack.write(_dialling(sshd, listener, "dial_error_limit=0, per_dial_timeout=1"))
        process = stack.start("up", "--yes", "--skip-preview")
        wait_until(lambda: bool(seen))
        with pytest.raises(subprocess.TimeoutExpired):
            process.wait(3)
        _kill(stack, process)


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
