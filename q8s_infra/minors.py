"""Kubernetes' minor versions: until when upstream maintains each, and how this repository's lab has run it.

The one place of these dates. End of life is what upstream publishes for each release series (``Minor.source``); none
is reckoned from the fourteen months of https://kubernetes.io/releases/patch-releases/. A date in the future is a plan
and may move, so look at all of them again when a minor version is entered here.

Which container runtime they need, read in the sources of Kubernetes 1.34.4, 1.35.4, 1.36.3 and 1.37.2:

- All ask for CRI v1, which containerd has from 1.6 on. Kubelet goes on where newer methods are missing: lists as
  streams (k8s.io/cri-client 0.37.2, pkg/remote_runtime.go line 464), PodSandboxStats (cmd/kubelet/app/server.go of
  1.37.2, line 807).
- Kubelet takes its cgroup driver from the CRI method RuntimeConfig, which containerd has from 2.0 on. Where the method
  is missing, kubelet takes ``cgroupDriver`` of its own configuration and starts, in all of them
  (``getCgroupDriverFromCRI``, cmd/kubelet/app/server.go: 1.34.4 line 1376, 1.35.4 line 1371, 1.36.3 line 1401, 1.37.2
  line 1455). This was to go in 1.36, then in 1.37; 1.37.2 announces 1.38 (line 1478, ``CRILosingSupport``).
- kubeadm warns of it from 1.35 on and goes on (``ContainerRuntimeVersionCheck``, cmd/kubeadm/app/preflight/checks.go:
  1.35.4 line 137, 1.36.3 line 138, 1.37.2 line 139).
- From 1.35 on kubelet does not start under cgroup v1 unless told to: ``FailCgroupV1`` is true by default
  (pkg/kubelet/apis/config/v1beta1/defaults.go: 1.34.4 line 293 false; 1.35.4 line 293, 1.36.3 line 294, 1.37.2 line 292
  true).
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date
from typing import Final, Literal


@dataclass(frozen=True)
class Minor:
    """A minor version of Kubernetes.

    Attributes:
        name: as in ``1.34``.
        released: the day of x.y.0, by the time of its Go module (``go list -m -json k8s.io/kubernetes@v1.34.0``).
        end_of_life: the last day on which upstream maintains it.
        tested: how the lab has run it; empty where it has not.
        source: where upstream publishes the end of life.
        containerd: the oldest containerd with which its kubelet starts.
    """

    name: str
    released: date
    end_of_life: date
    source: str
    tested: Literal["made", "upgraded to", ""] = ""
    containerd: str = "1.6"


_ENDED: Final = "https://raw.githubusercontent.com/kubernetes/website/main/data/releases/eol.yaml"
"""Upstream's list of release series that had their end."""
_SERIES: Final = "https://kubernetes.io/releases/"
"""Upstream's pages of release series."""

# Of 1.33 to 1.35 and 1.37 the pages of 2026-03, 06, 09 and 09 were read, of 1.36 that of 2026-08 (by their latest patch
# release): of 1.33 and 1.34 what was planned then, as no list with their end was at hand.
ALL: Final = (
    Minor("1.31", date(2024, 8, 13), date(2025, 11, 11), _ENDED),
    Minor("1.32", date(2024, 12, 11), date(2026, 2, 28), _ENDED),
    Minor("1.33", date(2025, 4, 23), date(2026, 6, 28), f"{_SERIES}1.33/"),
    Minor("1.34", date(2025, 8, 27), date(2026, 10, 27), f"{_SERIES}1.34/", "made"),
    Minor("1.35", date(2025, 12, 17), date(2027, 2, 28), f"{_SERIES}1.35/", "upgraded to"),
    Minor("1.36", date(2026, 4, 22), date(2027, 6, 28), f"{_SERIES}1.36/"),
    Minor("1.37", date(2026, 8, 26), date(2027, 10, 28), f"{_SERIES}1.37/"),
)
"""Oldest first. The first is the oldest that this program makes (``versions.OLDEST_MINOR``)."""
MINORS: Final = {each.name: each for each in ALL}
"""The same by name."""
TESTED: Final = tuple(each for each in ALL if each.tested)
"""Those that this repository's lab has run, oldest first."""
NEEDS_CONTAINERD_2: Final = (1, 38)
"""The first minor version of which upstream announces that its kubelet does not start with containerd 1."""


def no_longer_maintained(name: str, today: date) -> Minor | None:
    """The minor version of this name if its end of life is before a day; None, too, if it is not in the table."""
    found = MINORS.get(name)
    return found if found and found.end_of_life < today else None
