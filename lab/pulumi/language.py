"""``pulumi-language-python``: a small language host, over the one in the SDK's Automation API.

Each run of a program is a process of its own (`lab.pulumi.program`), so runs share nothing, a program may print and
exit as it likes, and what it leaves behind goes with it. The program gets the interpreter that runs this host.
"""

# ruff: noqa: N802, D102, ARG002  the names and arguments of the protocol's methods

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
from concurrent import futures
from importlib import metadata
from pathlib import Path
from typing import Any, Final

import grpc  # type: ignore[import-untyped]
from google.protobuf import empty_pb2  # type: ignore[import-untyped]
from pulumi.automation._server import LanguageServer
from pulumi.runtime.proto import language_pb2, language_pb2_grpc, plugin_pb2

from lab.versions import PULUMI

_MESSAGE_LIMIT: Final = 400 << 20
_GRACE_SECONDS: Final = 3.0
# By sys.path and not by PYTHONPATH, which the program and all that it starts would inherit.
_START_PROGRAM: Final = (
    f"import sys; sys.path.insert(0, {str(Path(__file__).resolve().parents[2])!r}); "
    "from lab.pulumi.program import main; main()"
)


# grpc has no types of its own.
Context = Any
Message = Any


class PythonHost(LanguageServer):
    """Runs Python programs for the engine.

    Args:
        engine: address of the engine, handed on to the program.
    """

    def __init__(self, engine: str) -> None:
        super().__init__(lambda: None)
        self._engine = engine
        self._programs: set[subprocess.Popen[bytes]] = set()

    def Handshake(self, request: language_pb2.LanguageHandshakeRequest, context: Context) -> Message:
        self._engine = request.engine_address or self._engine
        return language_pb2.LanguageHandshakeResponse()

    def GetPluginInfo(self, request: empty_pb2.Empty, context: Context) -> plugin_pb2.PluginInfo:
        return plugin_pb2.PluginInfo(version=PULUMI)

    def InstallDependencies(self, request: Message, context: Context) -> Message:
        # The interpreter is the project's own environment, which `make venv` fills.
        return iter(())

    def RuntimeOptionsPrompts(self, request: Message, context: Context) -> Message:
        return language_pb2.RuntimeOptionsResponse()

    def GetProgramDependencies(self, request: Message, context: Context) -> Message:
        found = sorted((each.name, each.version) for each in metadata.distributions())
        dependencies = [language_pb2.DependencyInfo(name=name, version=version) for name, version in found]
        return language_pb2.GetProgramDependenciesResponse(dependencies=dependencies)

    def Cancel(self, request: empty_pb2.Empty, context: Context) -> empty_pb2.Empty:
        self.end_programs()
        return empty_pb2.Empty()

    def Run(self, request: language_pb2.RunRequest, context: Context) -> language_pb2.RunResponse:
        directory = request.info.program_directory or request.pwd
        main = program_file(Path(directory), request.info.entry_point)
        if not main.is_file():
            return language_pb2.RunResponse(error=f"no Python program at {main}")
        if not request.args:
            request.args.append(self._engine)
        # The configuration may hold secrets, so it goes by standard input and not in the arguments.
        process = subprocess.Popen(
            [sys.executable, "-u", "-P", "-c", _START_PROGRAM, str(main)],
            cwd=request.pwd or directory,
            stdin=subprocess.PIPE,
        )
        self._programs.add(process)
        context.add_callback(lambda: _end(process))
        try:
            # No limit: a program runs for as long as its resources take. It ends with this call (`add_callback`), with
            # this process (`lab.pulumi.program`), and that with the engine.
            process.communicate(request.SerializeToString())
        finally:
            self._programs.discard(process)
        if process.returncode == 0:
            return language_pb2.RunResponse()
        if process.returncode > 0:
            return language_pb2.RunResponse(bail=True)
        return language_pb2.RunResponse(error=f"the program was ended by {signal.Signals(-process.returncode).name}")

    def end_programs(self) -> None:
        """End every program that still runs."""
        for process in list(self._programs):
            _end(process)


def program_file(directory: Path, entry_point: str) -> Path:
    """The file to run: the entry point of ``Pulumi.yaml`` (``main``), a file or a folder with a ``__main__.py``."""
    path = directory / (entry_point or ".")
    return path / "__main__.py" if path.is_dir() else path


def _end(process: subprocess.Popen[bytes]) -> None:
    if process.poll() is not None:
        return
    process.terminate()
    try:
        process.wait(_GRACE_SECONDS)
    except subprocess.TimeoutExpired:
        process.kill()


def main() -> None:
    """Serve until the engine interrupts this process or is gone."""
    stop = threading.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: stop.set())
    host = PythonHost(next((word for word in reversed(sys.argv[1:]) if not word.startswith("-")), ""))
    options = [
        ("grpc.max_receive_message_length", _MESSAGE_LIMIT),
        ("grpc.max_send_message_length", _MESSAGE_LIMIT),
    ]
    server = grpc.server(futures.ThreadPoolExecutor(max_workers=16), options=options)
    language_pb2_grpc.add_LanguageRuntimeServicer_to_server(host, server)
    port = server.add_insecure_port("127.0.0.1:0")
    server.start()
    print(port, flush=True)
    parent = os.getppid()
    # See lab.pulumi.plugin.until_orphaned for why the parent is polled.
    while not stop.wait(1) and os.getppid() == parent:
        pass
    host.end_programs()
    server.stop(grace=1).wait()
    # Threads of a half-ended run must not keep the process.
    os._exit(0)


if __name__ == "__main__":
    main()
