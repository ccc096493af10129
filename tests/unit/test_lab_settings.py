"""Configuration files and programs of OpenStack's services, against golden files.

``UPDATE_GOLDEN=1 pytest tests/unit/test_lab_settings.py`` writes them anew.
"""

from __future__ import annotations

import configparser
import json
import os
import re
import stat
from dataclasses import fields
from pathlib import Path

import pytest

from lab import layout
from lab.openstack import settings
from lab.openstack.passwords import Passwords
from lab.openstack.programs import OpenStackPrograms, broker_configuration, keystone_server, programs
from lab.services import Program

GOLDEN = Path(__file__).parent / "golden" / "lab"
PASSWORDS = Passwords(**{each.name: f"the-{each.name}-password" for each in fields(Passwords)})
VENV = Path("/cache/openstack-venv")


@pytest.fixture
def files(monkeypatch: pytest.MonkeyPatch) -> dict[str, str]:
    """All configuration files of a lab in given folders."""
    for name, path in {
        "STATE": "/state", "RUN": "/run/lab", "ETC": "/run/lab/etc", "INSTANCES": "/state/nova/instances",
    }.items():  # fmt: skip
        monkeypatch.setattr(layout, name, Path(path))
    return {
        **settings.all_files(PASSWORDS, VENV),
        "rabbitmq/rabbitmq.conf": broker_configuration(PASSWORDS),
        "keystone/gunicorn.conf.py": keystone_server(),
    }


def test_every_file_is_as_expected(files: dict[str, str]) -> None:
    if "UPDATE_GOLDEN" in os.environ:
        for name, text in files.items():
            path = GOLDEN / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text)
    golden = {str(path.relative_to(GOLDEN)): path.read_text() for path in GOLDEN.rglob("*") if path.is_file()}
    assert files == golden


def test_every_ini_file_reads_as_such(files: dict[str, str]) -> None:
    ini = {name: text for name, text in files.items() if name.endswith((".ini", ".conf")) and "rabbitmq" not in name}
    assert {name.split("/")[0] for name in ini} >= {"keystone", "placement", "glance", "neutron", "nova", "cinder"}
    for name, text in ini.items():
        parser = configparser.ConfigParser(interpolation=None, strict=True, default_section="none")
        parser.read_string(text, name)
        assert parser.sections(), name


def test_all_that_listens_is_on_the_loopback_address(files: dict[str, str]) -> None:
    for name, option in (
        ("nova/nova.conf", f"osapi_compute_listen = {layout.LOOPBACK}"),
        ("neutron/neutron.conf", f"bind_host = {layout.LOOPBACK}"),
        ("glance/glance-api.conf", f"bind_host = {layout.LOOPBACK}"),
        ("cinder/cinder.conf", f"osapi_volume_listen = {layout.LOOPBACK}"),
        ("keystone/gunicorn.conf.py", f'bind = "{layout.LOOPBACK}:'),
        ("rabbitmq/rabbitmq.conf", f"= {layout.LOOPBACK}:"),
    ):
        assert option in files[name]


def test_security_groups_are_enforced(files: dict[str, str]) -> None:
    assert "firewall_driver = iptables\n" in files["neutron/linuxbridge.ini"]
    assert "enable_security_group = true\n" in files["neutron/ml2.ini"]
    assert "extension_drivers = port_security\n" in files["neutron/ml2.ini"]


def named(all_programs: OpenStackPrograms) -> dict[str, Program]:
    return {program.name: program for program in all_programs.all}


def test_a_changed_file_restarts_those_it_is_for(files: dict[str, str]) -> None:
    before = named(programs(VENV, files))
    after = named(programs(VENV, {**files, "nova/nova.conf": files["nova/nova.conf"] + "# changed\n"}))
    changed = {name for name in before if before[name] != after[name]}
    assert changed == {"nova-api", "nova-conductor", "nova-scheduler", "nova-compute"}


def test_no_secret_is_in_a_program(files: dict[str, str]) -> None:
    told = json.dumps(
        [[*map(str, each.command), *each.environment.values()] for each in programs(VENV, files).all], default=str
    )
    assert not [each.name for each in fields(Passwords) if getattr(PASSWORDS, each.name) in told]


def test_hosts_outlive_nova_compute_and_only_it(files: dict[str, str]) -> None:
    assert [name for name, each in named(programs(VENV, files)).items() if not each.group] == ["nova-compute"]


def test_no_two_programs_want_one_port_or_name(files: dict[str, str]) -> None:
    known = programs(VENV, files).all
    ports = [each.port for each in known if each.port]
    assert len(set(ports)) == len(ports)
    assert len({each.name for each in known}) == len(known)


def test_passwords_are_made_once_and_only_for_root(tmp_path: Path) -> None:
    path = tmp_path / "state" / "secrets.json"
    made = Passwords.load(path)
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert Passwords.load(path) == made
    values = [getattr(made, each.name) for each in fields(Passwords)]
    assert len(set(values)) == len(values)
    assert min(map(len, values)) >= 32
    # Such a password is a word of a URL, an SQL string and an INI value as it is.
    assert all(re.fullmatch(r"[\w-]+", value, re.ASCII) for value in values)


def test_every_requirement_is_pinned_by_hash_and_names_no_index() -> None:
    text = (Path(settings.__file__).with_name("requirements.txt")).read_text()
    requirements = [line for line in text.replace("\\\n", " ").splitlines() if line and not line.startswith("#")]
    assert requirements
    assert not [line for line in requirements if "==" not in line or "--hash=sha256:" not in line]
    assert "://" not in text
    assert "index-url" not in text
