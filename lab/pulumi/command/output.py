"""What a command printed: kept whole for the outputs, and passed on line by line while it runs."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Final

OnLine = Callable[[str], Awaitable[None]]

# What `logging` may be, and which streams it shows (the original's enum).
LOGGING: Final = {
    "stdout": ("stdout",),
    "stderr": ("stderr",),
    "stdoutAndStderr": ("stdout", "stderr"),
    "none": (),
}
_LINE_LIMIT: Final = 64 << 10


class Output:
    """Collects both streams of one command.

    Args:
        on_line: takes each line of the streams that are shown.
        logging: the resource's ``logging`` input; None shows both streams.
    """

    def __init__(self, on_line: OnLine, logging: str | None) -> None:
        self._on_line = on_line
        self._shown = LOGGING[logging or "stdoutAndStderr"]
        self._kept: dict[str, bytearray] = {"stdout": bytearray(), "stderr": bytearray()}
        self._both = bytearray()
        self._rest: dict[str, bytes] = {"stdout": b"", "stderr": b""}

    async def feed(self, stream: str, data: bytes) -> None:
        """Take what arrived on ``stdout`` or ``stderr``; no data means that the stream has ended."""
        self._kept[stream] += data
        self._both += data
        if stream not in self._shown:
            return
        *lines, rest = (self._rest[stream] + data).split(b"\n")
        if rest and (not data or len(rest) > _LINE_LIMIT):
            lines, rest = [*lines, rest], b""
        self._rest[stream] = rest
        for line in lines:
            await self._on_line(line.removesuffix(b"\r").decode(errors="replace"))

    def text(self, stream: str) -> str:
        """All of one stream, without the last newline, as the original returns it."""
        return self._kept[stream].decode(errors="replace").removesuffix("\n")

    @property
    def both(self) -> str:
        """Both streams in the order of arrival, for an error message."""
        return self._both.decode(errors="replace")
