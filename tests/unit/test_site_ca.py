"""A site's own certificate authorities: as given and rendered, and with real curl and update-ca-certificates."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import pytest

from q8s_infra.fetched import CA_CERTIFICATES, fetched
from q8s_infra.plan import plan
from q8s_infra.render.authorities import GUEST_FILE, authority_files, guest_authority_files
from q8s_infra.render.seed import guest_files
from q8s_infra.render.templates import REPOSITORY
from q8s_infra.spec import ClusterSpec, validated
from q8s_infra.spec.certificates import each_certificate
from tests.unit.certificate import authority, server
from tests.unit.hostscript import stand_in, step
from tests.unit.serving import served
from tests.unit.specs import GOOD, refused, spoiled

FIRST, SECOND = authority("first"), authority("second")
UPDATE: Final = shutil.which("update-ca-certificates", path="/usr/sbin:/usr/bin")
NO_PEM: Final = (
    "one or more certificates, each from -----BEGIN CERTIFICATE----- to -----END CERTIFICATE-----, and nothing else"
)


def trusting(pem: str = "") -> ClusterSpec:
    """A cluster of a site with these authorities."""
    return validated(spoiled("sources/caCertificates", pem) if pem else GOOD)


@pytest.mark.parametrize(
    ("given", "told"),
    [
        ("", NO_PEM),
        ("first", NO_PEM),
        (f"# the site's\n{FIRST.pem}", NO_PEM),
        (FIRST.pem + SECOND.pem[:-20], NO_PEM),
        (FIRST.pem.replace(" CERTIFICATE", " CERTIFICATE REQUEST"), NO_PEM),
        (FIRST.pem + SECOND.pem.replace("MII", "AII", 1), "certificate 2 is damaged: each is to be as its"),
        (FIRST.pem + FIRST.key_pem, "has a private key, and only certificates go here"),
        (server("first").pem, "certificate 1 (CN=server) is no authority's, by its basic constraints: give that of"),
        ([FIRST.pem], "must be text"),
        (7, "must be text"),
    ],
)
def test_what_is_no_authority_s_certificate_is_refused(given: object, told: str) -> None:
    (mistake,) = refused(spoiled("sources/caCertificates", given))
    assert mistake.startswith(f"sources.caCertificates: {told}")
    assert "MII" not in mistake


@pytest.mark.parametrize("field", ["sources/caCertificate", "caCertificates", "sources/registryMirror", "name"])
def test_a_key_in_another_field_is_not_shown(field: str) -> None:
    told = "\n".join(refused(spoiled(field, FIRST.key_pem)))
    assert field.replace("/", ".") in told
    assert FIRST.key_pem.splitlines()[1] not in told


@pytest.mark.parametrize(
    "given",
    [
        FIRST.pem.strip(),
        FIRST.pem.replace("\n", "\r\n"),
        f"  {FIRST.pem}".replace("\n", "\n  "),
        FIRST.pem.replace("\n", " "),
        f"{FIRST.pem}\n\n{FIRST.pem}",
    ],
    ids=["stripped", "DOS", "indented", "folded", "twice"],
)
def test_the_same_certificate_in_another_form_is_the_same(given: str) -> None:
    assert trusting(given) == trusting(FIRST.pem)


def test_a_step_that_downloads_has_a_file_for_each_certificate() -> None:
    assert authority_files(trusting(FIRST.pem + SECOND.pem)) == {
        "ca/q8s-site.crt": FIRST.pem,
        "ca/q8s-site-2.crt": SECOND.pem,
    }
    assert authority_files(trusting()) == guest_authority_files(trusting()) == {}


def test_a_guest_has_them_in_one_file_where_go_looks() -> None:
    without, within = (
        {it.path: it for it in guest_files(spec)} for spec in (trusting(), trusting(FIRST.pem + SECOND.pem))
    )
    assert within.keys() - without.keys() == {GUEST_FILE}
    assert (within[GUEST_FILE].content, within[GUEST_FILE].mode) == (FIRST.pem + SECOND.pem, "0644")
    assert all(within[path] == without[path] for path in without)


@pytest.mark.parametrize(("spec", "there"), [(trusting(), False), (trusting(FIRST.pem), True)])
def test_a_mirror_has_what_hosts_may_lack(spec: ClusterSpec, there: bool) -> None:
    assert any(CA_CERTIFICATES in each.packages for each in fetched(plan(spec))) == there


@dataclass(frozen=True)
class Machine:
    """A host's store, which the real update-ca-certificates keeps, and a containerd that runs or not."""

    folder: Path

    @property
    def bundle(self) -> Path:
        """What curl reads."""
        return self.folder / "etc/ca-certificates.crt"

    @property
    def store(self) -> Path:
        """What the bundle is made of."""
        return self.folder / "store"

    @property
    def asked(self) -> list[str]:
        """What was asked of programs since the last time."""
        noted = self.folder / "asked"
        lines = noted.read_text().splitlines() if noted.exists() else []
        noted.unlink(missing_ok=True)
        return lines

    def program(self, name: str, does: str) -> None:
        """A program of the machine's, which notes its arguments."""
        stand_in(self.folder / "programs", name, f'echo "{name} $*" >>{self.folder}/asked\n{does}')

    def run(self, spec: ClusterSpec, *, before: str = ":", then: str = ":") -> subprocess.CompletedProcess[str]:
        """A step with the documents of a spec, and what it does before and after it trusts what it is to trust."""
        shutil.rmtree(self.folder / "ca", ignore_errors=True)
        for path, pem in authority_files(spec).items():
            (self.folder / path).parent.mkdir(exist_ok=True)
            (self.folder / path).write_text(pem)
        places = f"ca_store={self.store} ca_trusted={self.folder}/q8s/site-ca.pem PATH={self.folder}/programs:$PATH"
        given = f"{places}; export CURL_CA_BUNDLE={self.bundle}; progress() {{ :; }}"
        source = f"source {REPOSITORY}/hostscripts/site-ca.sh"
        return step(self.folder, "eval", f"{given}; {source}; {before}; site_ca; {then}")

    def trust(self, spec: ClusterSpec) -> list[str]:
        """What was asked of programs for it."""
        done = self.run(spec)
        assert done.returncode == 0, done.stderr
        return self.asked


CHANGED: Final = ["update-ca-certificates --fresh", "systemctl -q is-active containerd.service"]
RESTARTED: Final = [*CHANGED, "systemctl restart containerd.service"]


@pytest.fixture
def machine(tmp_path: Path) -> Machine:
    """A host that trusts nobody but a public authority, and runs no containerd."""
    assert UPDATE, "package ca-certificates is missing"
    it = Machine(tmp_path)
    for name in ("programs", "etc", "store", "public", "hooks"):
        (tmp_path / name).mkdir()
    (tmp_path / "public/public.crt").write_text(authority("public").pem)
    (tmp_path / "public.conf").write_text("public.crt\n")
    places = {"certsconf": "public.conf", "certsdir": "public", "localcertsdir": "store", "etccertsdir": "etc"}
    words = " ".join(f"--{option} {tmp_path}/{place}" for option, place in {**places, "hooksdir": "hooks"}.items())
    it.program("update-ca-certificates", f'exec {UPDATE} {words} "$@"')
    it.program("systemctl", "[[ $* != *is-active* ]]")
    return it


def hashes(machine: Machine) -> set[str]:
    """What OpenSSL finds by their hashes."""
    return {link.read_text() for link in machine.bundle.parent.glob("*.0")}


def test_authorities_come_change_and_go(machine: Machine) -> None:
    public = authority("public").pem
    assert machine.trust(trusting()) == []
    for pems in ([FIRST.pem], [SECOND.pem], [FIRST.pem, SECOND.pem], [SECOND.pem]):
        assert machine.trust(trusting("".join(pems))) == CHANGED
        assert machine.trust(trusting("".join(pems))) == []
        names = ["q8s-site.crt", "q8s-site-2.crt"][: len(pems)]
        assert {file.name for file in machine.store.iterdir()} == set(names)
        assert set(each_certificate(machine.bundle.read_text())) == {public, *pems}
        assert hashes(machine) == {public, *pems}
    assert machine.trust(trusting()) == CHANGED
    assert (machine.bundle.read_text(), [*machine.store.iterdir()]) == (public, [])
    assert hashes(machine) == {public}
    assert machine.trust(trusting()) == []


def test_other_authorities_of_the_host_are_left_alone(machine: Machine) -> None:
    (machine.store / "operator.crt").write_text(authority("operator").pem)
    for spec in (trusting(FIRST.pem), trusting()):
        machine.trust(spec)
        assert authority("operator").pem in machine.bundle.read_text()


def test_a_containerd_that_runs_reads_them_anew(machine: Machine) -> None:
    machine.program("systemctl", "")
    assert machine.trust(trusting(FIRST.pem)) == RESTARTED
    assert machine.trust(trusting(FIRST.pem)) == []
    assert machine.trust(trusting()) == RESTARTED


@pytest.mark.parametrize("pem", [SECOND.pem, ""], ids=["change", "removal"])
def test_a_change_that_was_cut_off_is_made_again(machine: Machine, pem: str) -> None:
    machine.program("systemctl", "")
    machine.trust(trusting(FIRST.pem))
    machine.program("systemctl", "[[ $* = *is-active* ]]")
    for _ in ("cut off", "cut off again"):
        assert machine.run(trusting(pem)).returncode != 0
        assert machine.asked == RESTARTED
    machine.program("systemctl", "")
    assert machine.trust(trusting(pem)) == RESTARTED
    assert machine.trust(trusting(pem)) == []


def test_ca_certificates_is_installed_where_the_image_lacks_it(machine: Machine) -> None:
    gained = machine.folder / "programs/update-ca-certificates"
    gained.unlink()
    machine.program("apt-get", f"[[ ${{@: -1}} = update ]] || install <(echo) {gained}")
    # The machine that runs the tests has it.
    lacks = f"command() {{ [[ -e {machine.folder}/programs/$2 ]]; }}"
    done = machine.run(trusting(FIRST.pem), before=lacks)
    assert done.returncode == 0, done.stderr
    assert [line.split()[-1] for line in machine.asked if line.startswith("apt-get")] == ["update", "ca-certificates"]
    assert machine.trust(trusting(FIRST.pem)) == []


@pytest.fixture
def mirror(tmp_path: Path) -> Iterator[str]:
    """The URL of a mirror whose certificate the first authority has signed."""
    folder = tmp_path / "mirror"
    folder.mkdir()
    (folder / "file").write_text("a file")
    with served(folder, tls=server("first").context(tmp_path)) as url:
        yield url


def test_a_download_from_the_site_is_trusted_by_its_authority_alone(machine: Machine, mirror: str) -> None:
    file = machine.folder / "file"
    for pem, trusted in ((FIRST.pem, True), (SECOND.pem, False), (SECOND.pem + FIRST.pem, True), ("", False)):
        file.unlink(missing_ok=True)
        done = machine.run(trusting(pem), then=f"download {mirror}/file {file}")
        assert (done.returncode == 0) == file.exists() == trusted, done.stderr
        assert trusted or f"cannot download {mirror}/file" in done.stderr
