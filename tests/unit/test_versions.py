"""The table of Kubernetes' minor versions, the warnings that come from it, and docs/versions.md."""

from __future__ import annotations

import re
from datetime import date, timedelta
from pathlib import Path

import pytest
from typer.testing import CliRunner

import q8s_infra.plan
from lab import versions as lab_versions
from lab.architectures import FURTHER, GUESTS, suite
from q8s_infra import minors, tested, versions
from q8s_infra.arch import ARCHITECTURES
from q8s_infra.cli import cli
from q8s_infra.minors import MINORS, TESTED
from q8s_infra.plan import plan
from q8s_infra.spec import SpecErrors, validated
from tests.unit.malformed import written
from tests.unit.specs import GOOD, MAINTAINED, spoiled

DEFAULT = MINORS[versions.minor(versions.KUBERNETES)]
DAY = timedelta(days=1)
SUITES = {"bullseye": "Debian 11", "bookworm": "Debian 12", "trixie": "Debian 13"}


def warned(version: str, today: date) -> list[str]:
    return [
        each
        for each in plan(validated(spoiled("kubernetes/version", version)), today).warnings
        if each.startswith("kubernetes.version: ")
    ]


def test_minor_versions_are_unique_and_in_order() -> None:
    names = [each.name for each in minors.ALL]
    assert len(MINORS) == len(names)
    assert names == [f"1.{number}" for number in range(31, 31 + len(names))]
    for dates in ([each.released for each in MINORS.values()], [each.end_of_life for each in MINORS.values()]):
        assert dates == sorted(set(dates))


def test_end_of_life_comes_about_fourteen_months_after_the_release() -> None:
    """Upstream's policy; a typing error in a year or month is found."""
    for each in MINORS.values():
        assert 14 <= (each.end_of_life - each.released).days / 30.4 <= 15.1, each.name


def test_the_oldest_and_the_default_are_in_the_table() -> None:
    assert next(iter(MINORS)) == versions.OLDEST_MINOR
    assert DEFAULT.tested == "made"


def test_tested_minor_versions_are_those_of_the_lab() -> None:
    run = {versions.minor(lab_versions.NEXT_KUBERNETES): "upgraded to", DEFAULT.name: "made"}
    assert {each.name: each.tested for each in TESTED} == run
    assert {each.name for each in TESTED} == set(tested.KUBERNETES_TESTS)
    assert lab_versions.EARLIER_KUBERNETES in tested.KUBERNETES_TESTS["1.34"][1]
    assert lab_versions.NEXT_KUBERNETES in tested.KUBERNETES_TESTS["1.35"][1]


@pytest.mark.parametrize("day", [DEFAULT.released, DEFAULT.end_of_life - DAY, DEFAULT.end_of_life])
def test_a_maintained_version_is_not_warned_of(day: date) -> None:
    assert not warned(versions.KUBERNETES, day)


def test_a_version_past_its_end_of_life_is_warned_of_once() -> None:
    (warning,) = warned(versions.KUBERNETES, DEFAULT.end_of_life + DAY)
    assert warning == (
        "kubernetes.version: upstream maintained Kubernetes 1.34 until 2026-10-27, so 1.34.4 gets no more security "
        "fixes: use 1.35, the newest minor version that was tested with this program (by upgrades only). How to "
        "upgrade a cluster: docs/operators.md, Versions"
    )


def test_a_newest_tested_version_past_its_end_of_life_is_not_recommended() -> None:
    newest = TESTED[-1]
    day = newest.end_of_life + DAY
    (warning,) = warned(versions.KUBERNETES, newest.end_of_life)
    assert f"use {newest.name}, " in warning
    for version in (versions.KUBERNETES, f"{newest.name}.4"):
        (warning,) = warned(version, day)
        assert "use " not in warning
        assert f"{newest.name}, the newest minor version that was tested with this program, was maintained" in warning


def test_an_untested_version_past_its_end_of_life_has_both_warnings() -> None:
    untested, ended = warned("1.31.14", MINORS["1.31"].end_of_life + DAY)
    assert "was never tested with this program" in untested
    assert "until 2025-11-11" in ended


def test_a_version_older_than_the_table_is_refused_on_any_day() -> None:
    with pytest.raises(SpecErrors, match=re.escape(f"{versions.OLDEST_MINOR} or later")):
        validated(spoiled("kubernetes/version", "1.30.14"))


@pytest.mark.parametrize("version", [f"{name}.0" for name in MINORS])
def test_no_version_of_the_table_needs_containerd_2(version: str) -> None:
    assert MINORS[versions.minor(version)].containerd == tested.lower_bounds()["containerd"]
    assert not [each for each in warned(version, MAINTAINED) if "containerd" in each]


@pytest.mark.parametrize("version", ["1.38.0", "1.99.0", "2.0.0"])
def test_a_later_kubelet_is_warned_of_for_its_container_runtime(version: str) -> None:
    untested, runtime = warned(version, date(2099, 1, 1))
    assert "was never tested with this program" in untested
    assert f"kubelet {versions.minor(version)} does not start with containerd 1" in runtime


@pytest.mark.parametrize(("after", "warnings"), [(0, 0), (1, 1)])
def test_check_warns_and_does_not_refuse(
    after: int, warnings: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(q8s_infra.plan, "current_day", lambda: DEFAULT.end_of_life + after * DAY)
    result = CliRunner().invoke(cli, ["check", str(written(GOOD, GOOD, tmp_path)), "--offline"])
    assert result.exit_code == 0, result.output
    said = re.sub(r"\s+", " ", result.stderr)
    assert said.count("upstream maintained Kubernetes 1.34 until 2026-10-27") == warnings
    assert said.count("warning: ") == warnings


def test_hosts_of_the_page_are_those_of_the_lab() -> None:
    run = {SUITES[each] for each in (lab_versions.HOST_SUITE, *lab_versions.FURTHER_HOSTS.values())}
    assert run == {name for name, (_, ci, full) in tested.HOSTS.items() if {ci, full} != {tested.NO}}
    in_ci = [name for name, (_, ci, _) in tested.HOSTS.items() if ci != tested.NO]
    assert in_ci == [SUITES[lab_versions.HOST_SUITE]]


def test_guests_of_the_page_are_those_of_the_lab() -> None:
    assert list(tested.GUESTS) == list(ARCHITECTURES)
    for name, (ci, full) in tested.GUESTS.items():
        debian = ARCHITECTURES[name].debian
        assert debian in (*GUESTS, *FURTHER)
        assert (ci != tested.NO) == (debian in GUESTS), name
        assert (full if ci == tested.NO else ci).startswith(SUITES[suite(debian)]), name


def test_lower_bounds_are_read_from_the_script_that_checks_them() -> None:
    assert set(tested.lower_bounds()) == {"systemd", "Python", "containerd", "libvirt", "QEMU"}


def test_pulumi_of_the_page_is_the_labs() -> None:
    assert tested.pulumi_pins() == {
        "pulumi": lab_versions.PULUMI,
        "pulumi-command": lab_versions.PULUMI_COMMAND,
        "pulumi-kubernetes": lab_versions.PULUMI_KUBERNETES,
        "pulumi-openstack": lab_versions.PULUMI_OPENSTACK,
    }
