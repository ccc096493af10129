"""The interrupt controller of Arm guests: libvirt's own choice has eight CPUs at most."""

from __future__ import annotations

import os
from pathlib import Path
from xml.etree import ElementTree as ET

import pytest

from q8s_infra.plan import plan
from q8s_infra.render.domain import domain_xml
from q8s_infra.spec import validated
from tests.unit.specs import spoiled

GOLDEN = Path(__file__).parent / "golden" / "domain" / "arm-16-cpus.xml"
CONTROLLER = '<gic version="3" />'


def domain(kind: str, cpus: int) -> str:
    workers = plan(validated(spoiled(f"nodeTypes/{kind}/cpus", cpus))).workers
    return domain_xml(next(worker for worker in workers if worker.type_name == kind))


def test_an_arm_guest_of_more_than_eight_cpus_has_the_controller_that_takes_them() -> None:
    written = domain("arm", 16)
    if "UPDATE_GOLDEN" in os.environ:
        GOLDEN.parent.mkdir(exist_ok=True)
        GOLDEN.write_text(written)
    assert written == GOLDEN.read_text()
    assert [each.get("version") for each in ET.fromstring(written).findall("features/gic")] == ["3"]


@pytest.mark.parametrize(("kind", "cpus"), [("arm", 1), ("arm", 8), ("x86", 8), ("x86", 9), ("x86", 255)])
def test_all_others_are_as_they_were(kind: str, cpus: int) -> None:
    assert "<gic" not in domain(kind, cpus)


def test_nothing_but_the_controller_and_the_cpus_differs_with_more_cpus() -> None:
    lines = [line for line in domain("arm", 9).splitlines() if line.strip() != CONTROLLER]
    assert "\n".join(lines).replace('"9"', '"8"').replace(">9<", ">8<") == domain("arm", 8).rstrip("\n")
