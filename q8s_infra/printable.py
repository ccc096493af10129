"""Make text that a host, a guest or a cloud wrote safe to print.

A terminal obeys escape sequences (ECMA-48): text from a guest could set the window's title, overwrite lines that were
printed before, or hide what follows. Bidirectional overrides (Unicode 9.0, UAX #9) reorder what is read.
"""

from __future__ import annotations

import re
from typing import Final

_SEQUENCES: Final = re.compile(
    # Strings: OSC, DCS, SOS, PM, APC, to their end (ST or BEL), or, where that is missing, of the line.
    r"(?:\x1b[\]PX^_]|[\x9d\x90\x98\x9e\x9f])[^\x07\x1b\x9c\n]*(?:\x07|\x1b\\|\x9c)?"
    # CSI: parameters, intermediates, one final byte, which is missing where the text was cut off.
    r"|(?:\x1b\[|\x9b)[0-?]*[ -/]*[@-~]?"
    # All other escapes.
    r"|\x1b[ -/]*[0-~]?"
)
_CONTROLS: Final = re.compile(
    # C0 but tab and newline, DEL, C1.
    r"[\x00-\x08\x0b-\x1f\x7f-\x9f"
    # Marks, embeddings, overrides and isolates of direction; separators of lines and paragraphs; tags; halves of pairs.
    r"\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069\U000e0000-\U000e007f\ud800-\udfff]"
)


def printable(text: str) -> str:
    """Return the text without all that a terminal obeys; newlines, tabs and ordinary Unicode stay.

    A carriage return, by which a later text would overwrite an earlier one, becomes a space, so that no text can pass
    for a line of its own.
    """
    text = re.sub(r"\r+\n", "\n", text)
    text = _SEQUENCES.sub("", text).replace("\r", " ")
    return _CONTROLS.sub("", text)


def print_line(line: str) -> None:
    """Print a line that was written elsewhere, such as Pulumi's output, which has what hosts say in it."""
    print(printable(line))
