"""Find private keys in texts: whole ones, and what is left of one whose head or tail a log does not have.

Their lines may be escaped (JSON) or stand in one line, and each may come after what a log puts before its lines.
"""

from __future__ import annotations

import re
from bisect import bisect_left
from typing import Final

_BEGIN: Final = re.compile(r"-----BEGIN [A-Z0-9 ]{0,30}PRIVATE KEY(?: BLOCK)?-----")
_END: Final = re.compile(r"-----END [A-Z0-9 ]{0,30}PRIVATE KEY(?: BLOCK)?(?:-----)?")
_LONGEST: Final = 20_000
"""In characters: an RSA key of 16,384 bits has 12,700."""
_BREAK: Final = re.compile(r"\n|\\+[nr]")
_WORD: Final = re.compile(r"\S+")
_BODY: Final = re.compile(r"[\"'|>]?[A-Za-z0-9+/=]{16,}[\"',]*")
_HEADER: Final = re.compile(r"(?:Proc-Type|DEK-Info|Comment|Version):")
_LAST: Final = re.compile(r"[A-Za-z0-9+/=]{1,76}")


def private_keys(text: str) -> list[tuple[int, int]]:
    """Return where keys begin and end, in order, without the lines BEGIN and END around them."""
    found: list[tuple[int, int]] = []
    begins, ends = list(_BEGIN.finditer(text)), [match.start() for match in _END.finditer(text)]
    done = 0
    starts = [*(begin.start() for begin in begins), len(text)][1:]
    for begin, following in zip(begins, starts, strict=True):
        limit = min(following, begin.end() + _LONGEST)
        at = bisect_left(ends, begin.end())
        end = ends[at] if at < len(ends) and ends[at] <= limit else _forward(text, begin.end(), limit)
        if end > begin.end():
            found.append((begin.end(), end))
    closed = {end for _, end in found}
    for end in ends:
        if end not in closed and (start := _backward(text, max(done, end - _LONGEST), end)) < end:
            found.append((start, end))
        done = end
    return sorted(found)


def _forward(text: str, start: int, limit: int) -> int:
    """Where a key that has no end ends: after the last line that looks like one."""
    end = start
    for line_start, line_end in _lines(text, start, limit):
        words = [(each.start(), each.end()) for each in _WORD.finditer(text, line_start, line_end)]
        body = [to for at, to in words if _BODY.fullmatch(text, at, to)]
        if body:
            end = body[-1]
        elif words and line_end == len(text) and _LAST.fullmatch(text, *words[-1]):
            # The text ends within a line of it.
            end = line_end
        elif words and line_start != start and not _HEADER.match(text, *words[0]):
            break
    return end


def _backward(text: str, start: int, limit: int) -> int:
    """Where a key that has no beginning begins: at the first line that looks like one."""
    begin, nearest = limit, True
    for line_start, line_end in reversed(_lines(text, start, limit)):
        words = [(each.start(), each.end()) for each in _WORD.finditer(text, line_start, line_end)]
        taken = None
        for at, to in reversed(words):
            # The last line of a key may be short; beside its end there is nothing, or what a log puts before it.
            if _BODY.fullmatch(text, at, to) or (nearest and line_end != limit and _LAST.fullmatch(text, at, to)):
                taken, nearest = at, False
            else:
                break
        if taken is not None:
            begin = taken
        elif line_end != limit:
            break
    # A line that was cut in its middle is the first one of all.
    if begin != limit and (rest := _LAST.search(text, start, begin)) and not text[start : rest.start()].strip():
        begin = rest.start() if not text[rest.end() : begin].strip() else begin
    return begin


def _lines(text: str, start: int, limit: int) -> list[tuple[int, int]]:
    found, at = [], start
    for match in _BREAK.finditer(text, start, limit):
        found.append((at, match.start()))
        at = match.end()
    return [*found, (at, limit)]
