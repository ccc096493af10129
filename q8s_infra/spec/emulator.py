"""Words for QEMU's command line: those with which no guest starts, or another one than was described, are refused."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Annotated, Final

from pydantic import AfterValidator, StringConstraints

from q8s_infra.spec.errors import of_fields

_INSTEAD: Final = {
    "smp": "the number of CPUs is the field cpus, and libvirt stops a guest that has another one",
    "m": "the memory is the field memory, and libvirt stops a guest that has another amount",
    "accel": "guests are always emulated",
    "enable-kvm": "guests are always emulated",
    "daemonize": "libvirt starts QEMU, and loses one that goes into the background",
    "incoming": "the guest would wait for a migration and never start",
    "loadvm": "the guest would go on from a state that its disks do not have",
    "snapshot": "all that the guest writes would be lost when it stops",
    "uuid": "libvirt knows the guest by its own",
    **dict.fromkeys(("h", "help", "version"), "QEMU would print and end"),
}
"""Options of QEMU (qemu-options.hx), without dashes, and why they are none for here."""


def _words(given: tuple[str, ...]) -> tuple[str, ...]:
    if mistakes := [*_mistakes(given)]:
        raise of_fields(mistakes)
    return given


def _mistakes(words: tuple[str, ...]) -> Iterator[str]:
    for at, word in enumerate(words):
        name = word.lstrip("-")
        if not word.isprintable():
            yield f"{at}: has characters that cannot be printed, such as line breaks or NUL"
        elif at == 0 and not word.startswith("-"):
            yield f"{at}: {word} does not begin with '-': QEMU would take it for a disk image"
        elif word.startswith("-") and name in _INSTEAD:
            yield f"{at}: {word} cannot be given: {_INSTEAD[name]}"


QemuArgs = Annotated[tuple[Annotated[str, StringConstraints(min_length=1)], ...], AfterValidator(_words)]
