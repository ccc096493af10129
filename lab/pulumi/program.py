"""Run one Pulumi program: the file in the arguments, with the engine's request on standard input.

Exits 0 when the program registered all of its resources, and 1 after an error that the user has been told.
"""

from __future__ import annotations

import asyncio
import contextlib
import linecache
import logging
import os
import runpy
import sys
import threading
import time
import traceback
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import grpc  # type: ignore[import-untyped]
from pulumi import RunError, log
from pulumi.runtime import reset_options, run_in_stack, set_all_config
from pulumi.runtime.proto import language_pb2


def main() -> None:
    """Read the request, run the program, and exit by its outcome."""
    threading.Thread(target=_exit_with_parent, daemon=True).start()
    request = language_pb2.RunRequest.FromString(sys.stdin.buffer.read())
    # The program reads nothing of ours.
    os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
    message = run(request, Path(sys.argv[1]))
    if message:
        with contextlib.suppress(Exception):
            log.error(message)
    sys.stdout.flush()
    sys.stderr.flush()
    # Threads that the program started do not keep it from ending.
    os._exit(1 if message else 0)


def run(request: language_pb2.RunRequest, file: Path) -> str | None:
    """Run the program against the engine of the request.

    Returns:
        None when all went well, otherwise what to tell the user.
    """
    logging.getLogger("asyncio").setLevel(logging.CRITICAL)
    reset_options(
        project=request.project,
        monitor_address=request.monitor_address,
        engine_address=request.args[0] if request.args else "",
        stack=request.stack,
        parallel=request.parallel,
        preview=request.dryRun,
        organization=request.organization or "organization",
    )
    log.info("stand-in for the official Python language host (Q8S lab)")
    set_all_config(dict(request.config), list(request.configSecretKeys))
    sys.argv = [str(file), *request.args[1:]]
    sys.path.insert(0, str(file.parent))
    loop = asyncio.new_event_loop()
    loop.set_default_executor(ThreadPoolExecutor(max_workers=max(request.parallel, 1) * 4))
    try:
        loop.run_until_complete(run_in_stack(lambda: _run_file(file)))
    except RunError as error:
        return str(error)
    except grpc.RpcError as error:
        # An engine that is not there any more has told the user why.
        return None if error.code() == grpc.StatusCode.UNAVAILABLE else f"the engine refused: {error.details()}"
    except SystemExit as error:
        return None if error.code in (None, 0) else f"Program exited with {_exit_text(error.code)}"
    except KeyboardInterrupt:
        return "the program was interrupted"
    except BaseException as error:
        return f"Program failed with an unhandled exception:\n{readable(error, file.parent)}"
    finally:
        _close(loop)
    return None


def _run_file(file: Path) -> None:
    runpy.run_path(str(file), run_name="__main__")


def readable(error: BaseException, directory: Path) -> str:
    """The traceback without the frames above the program, and without those of the SDK where it has others."""
    linecache.checkcache()
    root = str(directory.resolve())
    frames = traceback.extract_tb(error.__traceback__)
    first = next((number for number, frame in enumerate(frames) if frame.filename.startswith(root)), None)
    # Where the program is in no frame (an apply that failed later), the whole trace is what there is.
    kept = frames[first:] if first is not None else frames
    lines = ["Traceback (most recent call last):\n", *traceback.format_list(kept)]
    if isinstance(error, SyntaxError) and first is None:
        lines = []
    return "".join([*lines, *traceback.format_exception_only(error)]).rstrip()


def _exit_text(code: object) -> str:
    return f"non-zero exit code: {code}" if isinstance(code, int) else f"the message: {code}"


def _close(loop: asyncio.AbstractEventLoop) -> None:
    """Cancel what a failed program left unfinished, so that asyncio does not complain about it."""
    pending: set[asyncio.Task[Any]] = asyncio.all_tasks(loop)
    for task in pending:
        task.cancel()
        with contextlib.suppress(asyncio.CancelledError, Exception):
            loop.run_until_complete(task)
    loop.close()


def _exit_with_parent() -> None:
    parent = os.getppid()
    while os.getppid() == parent:
        time.sleep(1)
    os._exit(1)


if __name__ == "__main__":
    main()
