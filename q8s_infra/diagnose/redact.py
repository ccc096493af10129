"""Logs without their secrets: first the stack's own values, in whatever form; then what has the shape of a secret."""

from __future__ import annotations

import base64
import re
from collections import defaultdict
from collections.abc import Iterable
from typing import Final

from q8s_infra.diagnose.patterns import REDACTED, without_patterns
from q8s_infra.diagnose.values import forms
from q8s_infra.printable import printable

_HEAD: Final = 6
"""Characters by which a form is looked up; none is shorter."""
_LONG_LINE: Final = re.compile(r"([^\n]{32768})[^\n]+")
"""Lines are cut there: patterns would take hours for one that a guest made as long as its log may be."""
_BASE64: Final = re.compile(r"(?<![A-Za-z0-9+/=_-])[A-Za-z0-9+/]{24,}={0,2}(?![A-Za-z0-9+/=_-])")


class Redactor:
    """Removes secrets from texts.

    Args:
        values: secrets that are known.
    """

    def __init__(self, values: Iterable[str] = ()) -> None:
        by_head: defaultdict[str, list[str]] = defaultdict(list)
        for form in {form for value in values for form in forms(value)}:
            by_head[form[:_HEAD]].append(form)
        self._by_head = {head: sorted(found, key=len, reverse=True) for head, found in by_head.items()}

    def __call__(self, text: str) -> str:
        """Return the text without secrets, and without what a terminal obeys, which could stand within a secret."""
        text = _LONG_LINE.sub(r"\1 [cut off]", self._without_values(printable(text)))
        text = without_patterns(text)
        return _BASE64.sub(self._decoded, text)

    def _without_values(self, text: str) -> str:
        kept, done = [], 0
        by_head = self._by_head
        for at in [at for at in range(len(text) - _HEAD + 1) if text[at : at + _HEAD] in by_head] if by_head else []:
            if at < done:
                continue
            found = next((form for form in by_head[text[at : at + _HEAD]] if text.startswith(form, at)), None)
            if found:
                kept += [text[done:at], REDACTED]
                done = at + len(found)
        return "".join([*kept, text[done:]])

    def _decoded(self, match: re.Match[str]) -> str:
        """A text in base64 that has a secret is removed as a whole."""
        try:
            plain = base64.b64decode(match[0] + "=" * (-len(match[0]) % 4)).decode()
        except ValueError:
            return match[0]
        return match[0] if without_patterns(self._without_values(plain)) == plain else REDACTED
