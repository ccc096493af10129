"""What a command printed: kept whole for the outputs, and passed on line by line while it runs."""

from __future__ import annotations

import asyncio
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
# Where the original's line scanner (Go's bufio.Scanner) gives up: a line and its end must be no longer than this.
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
        # As in the original, both streams share one pipe to the log, and so the line that is not complete yet.
        self._pipe = asyncio.Lock()
        self._line = b""

    async def feed(self, stream: str, data: bytes) -> None:
        """Take what arrived on ``stdout`` or ``stderr``.

        Never returns, for either stream, once a line that is shown got too long: the original stops reading its pipe
        then, so the command stalls as soon as it has filled the buffers on the way.
        """
        self._kept[stream] += data
        self._both += data
        if stream not in self._shown:
            return
        async with self._pipe:
            *lines, self._line = (self._line + data).split(b"\n")
            for line in lines:
                if len(line) >= _LINE_LIMIT:
                    await _for_ever()
                await self._show(line)
            # Exactly the limit has been read in whole; it is the byte after it that nobody takes.
            if len(self._line) > _LINE_LIMIT:
                await _for_ever()

    async def end(self) -> None:
        """Both streams have ended: show what came after the last newline."""
        if 0 < len(self._line) < _LINE_LIMIT:
            await self._show(self._line)

    async def _show(self, line: bytes) -> None:
        await self._on_line(line.removesuffix(b"\r").decode(errors="replace"))

    def text(self, stream: str) -> str:
        """All of one stream, without the last newline, as the original returns it."""
        return self._kept[stream].decode(errors="replace").removesuffix("\n")

    @property
    def both(self) -> str:
        """Both streams in the order of arrival, for an error message."""
        return self._both.decode(errors="replace")


async def _for_ever() -> None:
    """Wait until cancelled, which the end of the plugin's process does at the latest."""
    await asyncio.Event().wait()
