"""The versions that are supported and tested: what ``docs/versions.md`` says."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Final

from q8s_infra import versions
from q8s_infra.arch import ARCHITECTURES
from q8s_infra.minors import MINORS, NEEDS_CONTAINERD_2
from q8s_infra.remote import HOSTSCRIPTS
from q8s_infra.render.node import OCI_RUNTIME
from q8s_infra.render.templates import REPOSITORY

NO: Final = "no"

_HEAD: Final = """# Versions

Which versions can be used, and which ones the tests run. Made by `make docs` from `q8s_infra/minors.py`,
`q8s_infra/versions.py`, `q8s_infra/tested.py` and the files that they read.

*CI* is `make test`; *full* is what `make test-full` runs beside it. Both run in the [lab](lab.md), on one machine of
x86_64 whose hosts are system containers. "no" means that no test runs it, not that it fails.

How to upgrade a cluster: [operators.md](operators.md#versions).
"""

KUBERNETES_TESTS: Final[Mapping[str, tuple[str, str]]] = {
    "1.34": (f"{versions.KUBERNETES} made", f"1.34.3 made and upgraded to {versions.KUBERNETES}"),
    "1.35": (NO, f"{versions.KUBERNETES} upgraded to 1.35.4 on x86_64; no cluster made, no worker added"),
}
"""Minor versions that tests run, each with what CI and ``make test-full`` do with them."""

HOSTS: Final[Mapping[str, tuple[str, str, str]]] = {
    "Debian 11": ("containerd 1.4, libvirt 7.0, QEMU 5.2, systemd 247, Python 3.9", NO, "refused, as is tested"),
    "Debian 12": (
        "containerd 1.6, libvirt 9.0, QEMU 7.2 (backports: 10.0), systemd 252, Python 3.11",
        "with QEMU 10.0 of its backports",
        "the same",
    ),
    "Debian 13": (
        "containerd 1.7, libvirt 11.3, QEMU 10.0, systemd 257, Python 3.13",
        NO,
        "a control plane and a worker of x86_64",
    ),
    "Ubuntu 22.04": ("libvirt 8.0, QEMU 6.2, systemd 249, Python 3.10", NO, NO),
    "Ubuntu 24.04": ("libvirt 10.0, QEMU 8.2, systemd 255, Python 3.12", NO, NO),
}
"""Releases of distributions that hosts have, each with its programs, and with what CI and ``make test-full`` run."""

GUESTS: Final[Mapping[str, tuple[str, str]]] = {
    "x86_64": ("Debian 13, as published", "Debian 13, as published and trimmed"),
    "arm64": ("Debian 13, trimmed", "Debian 13, as published and trimmed"),
    "riscv64": (NO, "Debian 13, trimmed"),
    "ppc64le": (NO, "Debian 12, trimmed"),
    "s390x": (NO, "Debian 12, trimmed"),
}
"""Architectures, each with the guests that CI and ``make test-full`` run."""


def versions_page() -> str:
    """The page as Markdown."""
    return "\n".join((_HEAD, *_kubernetes(), *_runtimes(), *_flannel(), *_hosts(), *_guests(), *_pulumi()))


def lower_bounds() -> dict[str, str]:
    """The oldest releases that a host may have, by program, as ``hostscripts/requirements.sh`` checks them."""
    text = (HOSTSCRIPTS / "requirements.sh").read_text(encoding="utf-8")
    (table,) = re.findall(r'^oldest_releases="\n(.*?)^"$', text, re.MULTILINE | re.DOTALL)
    return dict(line.split() for line in table.splitlines())


def pulumi_pins() -> dict[str, str]:
    """Versions of Pulumi's packages, as ``requirements.in`` pins them."""
    text = (REPOSITORY / "requirements.in").read_text(encoding="utf-8")
    return dict(re.findall(r"^(pulumi[a-z-]*)==(\S+)$", text, re.MULTILINE))


def _table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> Iterator[str]:
    yield f"| {' | '.join(head)} |\n|{' --- |' * len(head)}"
    yield from (f"| {' | '.join(row)} |" for row in rows)
    yield ""


def _kubernetes() -> Iterator[str]:
    first = ".".join(map(str, NEEDS_CONTAINERD_2))
    yield "## Kubernetes\n"
    yield f"The default is {versions.KUBERNETES}. A version older than {versions.OLDEST_MINOR} is refused."
    yield (
        "`check`, `pulumi preview` and `pulumi up` warn of a minor version that was never tested, and of one whose\n"
        "end of life has passed on the day of the run; nothing is refused for that.\n"
    )
    yield from _table(
        ("minor version", "released", "end of life", "oldest containerd", "CI", "full"),
        (
            (
                each.name,
                str(each.released),
                f"[{each.end_of_life}]({each.source})",
                each.containerd,
                *KUBERNETES_TESTS.get(each.name, (NO, NO)),
            )
            for each in MINORS.values()
        ),
    )
    yield (
        "*End of life* is the last day on which upstream maintains a minor version, as upstream publishes it behind\n"
        "each link; a date in the future is a plan. *Oldest containerd* is the one with which kubelet starts, by its\n"
        "source code; which ones have run is below. From 1.35 on, kubelet does not start under cgroup v1 by default.\n"
        f"Upstream has announced that from {first} on it does not start with containerd 1.\n"
    )


def _runtimes() -> Iterator[str]:
    yield "## Container runtimes\n"
    yield (
        "containerd comes from the host's or guest's distribution, or from the package sources that `sources` names.\n"
        f"Guests run pods with {OCI_RUNTIME}, control planes with runc.\n"
    )
    yield from _table(
        ("containerd", "where", "CI", "full"),
        (
            (
                f"older than {lower_bounds()['containerd']}",
                "Debian 11 has 1.4",
                NO,
                "refused on control planes, as is tested",
            ),
            (
                "1.6",
                "Debian 12",
                "control planes; builds the payloads",
                "the same; guests of ppc64le and s390x",
            ),
            ("1.7", "Debian 13", "guests of x86_64 and arm64", "control plane of Debian 13; guests of riscv64"),
            ("2.0 and newer", "neither Debian 12 nor 13", NO, NO),
        ),
    )


def _flannel() -> Iterator[str]:
    yield "## Flannel\n"
    yield from _table(
        ("Flannel", "its CNI plugin", "CI", "full"),
        (
            (versions.FLANNEL, versions.FLANNEL_CNI_PLUGIN, "yes", "yes"),
            ("any other", versions.FLANNEL_CNI_PLUGIN, NO, NO),
        ),
    )


def _hosts() -> Iterator[str]:
    yield "## Hosts\n"
    yield "Each host is checked for these lower bounds before anything is installed that needs them:\n"
    yield from _table(("program", "oldest"), lower_bounds().items())
    yield (
        "No test runs a cluster with the lower bounds of systemd, Python, libvirt and QEMU: clusters run with the\n"
        "versions of Debian 12 and 13 in the next table.\n"
    )
    yield from _table(("host image", "has", "CI", "full"), ((name, *row) for name, row in HOSTS.items()))


def _guests() -> Iterator[str]:
    yield "## Guests\n"
    yield (
        "The default images are Ubuntu's. The lab cannot have them, so no test boots them. *Trimmed* is an image that\n"
        "the lab makes of the distribution's packages for emulated CPUs, *as published* one with the packages of the\n"
        "distribution's own cloud image ([lab.md](lab.md)).\n"
    )
    yield from _table(
        ("architecture", "default image", "CI", "full"),
        ((name, f"`{entry.image_url.rpartition('/')[2]}`", *GUESTS[name]) for name, entry in ARCHITECTURES.items()),
    )


def _pulumi() -> Iterator[str]:
    pins = pulumi_pins()
    yield "## Pulumi\n"
    yield "CI runs these versions and no others; `make test-full` runs the same.\n"
    yield from _table(
        ("program", "version"),
        (
            ("Pulumi's CLI and Python SDK", pins["pulumi"]),
            *((f"provider {name.removeprefix('pulumi-')}", pins[name]) for name in sorted(pins) if name != "pulumi"),
        ),
    )
