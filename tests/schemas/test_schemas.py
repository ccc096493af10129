"""Every document is valid by the schema of the program that reads it: cloud-init's and libvirt's own."""

from __future__ import annotations

import copy
import json
from typing import Any

import pytest
import yaml
from jsonschema import Draft4Validator
from lxml import etree

from lab.schemas import CLOUD_CONFIG, DOMAIN, NETWORK, SCHEMAS
from q8s_infra.plan import plan
from q8s_infra.render.domain import domain_xml
from q8s_infra.spec import validated
from tests.unit.rendered import SHAPES, documents
from tests.unit.specs import spoiled


@pytest.fixture(scope="module", autouse=True)
def _schemas() -> None:
    SCHEMAS.ensure()


@pytest.fixture(scope="module")
def cloud_config() -> Draft4Validator:
    """cloud-init's schema of user data; it tells of what it does not know."""
    return Draft4Validator(json.loads((SCHEMAS.path / CLOUD_CONFIG).read_text()))


@pytest.fixture(scope="module")
def domain() -> etree.RelaxNG:
    """What virt-xml-validate checks a domain by."""
    return etree.RelaxNG(file=str(SCHEMAS.path / DOMAIN))


def mistakes(validator: Draft4Validator, document: str) -> list[str]:
    """What is wrong with a cloud-config."""
    assert document.startswith("#cloud-config\n")
    return [f"{list(error.path)}: {error.message}" for error in validator.iter_errors(yaml.safe_load(document))]


@pytest.mark.parametrize("shape", SHAPES)
def test_cloud_configs(shape: str, cloud_config: Draft4Validator) -> None:
    found = {name: text for name, text in documents(shape).items() if name.endswith(("user-data", "host.yaml"))}
    assert len(found) >= 3
    for name, text in found.items():
        assert not mistakes(cloud_config, text), name


@pytest.mark.parametrize("shape", SHAPES)
def test_domains(shape: str, domain: etree.RelaxNG) -> None:
    found = {name: text for name, text in documents(shape).items() if name.endswith("domain.xml")}
    assert len(found) >= 2
    for name, text in found.items():
        assert domain.validate(etree.fromstring(text)), f"{name}: {domain.error_log}"


def test_a_domain_with_an_interrupt_controller_of_its_own(domain: etree.RelaxNG) -> None:
    workers = plan(validated(spoiled("nodeTypes/arm/cpus", 16))).workers
    written = domain_xml(next(worker for worker in workers if worker.type_name == "arm"))
    assert "<gic" in written
    assert domain.validate(etree.fromstring(written)), domain.error_log


def test_the_network(domain: etree.RelaxNG) -> None:
    network = etree.RelaxNG(file=str(SCHEMAS.path / NETWORK))
    filled = etree.fromstring(documents("dev")["network.xml"].replace("@MTU@", "1450"))
    assert network.validate(filled), network.error_log
    assert not domain.validate(filled)


@pytest.mark.parametrize("key", ["users", "write_files", "bootcmd"])
def test_a_wrong_cloud_config_is_seen(key: str, cloud_config: Draft4Validator) -> None:
    given: dict[str, Any] = yaml.safe_load(documents("dev")["x86-small/seed/user-data"])
    wrong = copy.deepcopy(given)
    wrong[key] = [{"nobody": ["knows", 1]}]
    assert not list(cloud_config.iter_errors(given))
    assert list(cloud_config.iter_errors(wrong))


def test_a_wrong_domain_is_seen(domain: etree.RelaxNG) -> None:
    wrong = etree.fromstring(documents("dev")["x86-small/domain.xml"].replace("<vcpu>", "<vcpu pinned='maybe'>"))
    assert not domain.validate(wrong)
