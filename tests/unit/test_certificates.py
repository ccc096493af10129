"""Until when certificates hold, and what is said before they expire."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path

import pytest
import yaml

from q8s_infra.certificates import OUTPUT, SINCE, expires, since, warnings
from q8s_infra.render.kubeadm import certificate_files, init_configuration, renewal_configuration
from q8s_infra.render.templates import REPOSITORY
from q8s_infra.spec import validated
from q8s_infra.state.model import CLUSTER, StackState
from tests.unit.certificate import EXPIRES, client_certificate_data
from tests.unit.hostscript import step
from tests.unit.specs import spoiled
from tests.unit.states import state


def stack(**outputs: str) -> StackState:
    """What a stack knows of its cluster."""
    return state(
        {"urn::1": {"type": CLUSTER, "outputs": outputs}, "urn::2": {"type": "another", "outputs": {OUTPUT: "no"}}}
    )


def test_a_kubeconfig_says_when_its_certificate_was_made_and_expires() -> None:
    user = {"name": "admin", "user": {"client-certificate-data": client_certificate_data()}}
    kubeconfig = yaml.safe_dump({"users": [user]})
    assert expires(kubeconfig) == EXPIRES.isoformat()
    assert since(kubeconfig) == (EXPIRES - timedelta(days=365 * 20)).isoformat()


def test_it_is_said_two_months_before_and_after() -> None:
    known = stack(**{OUTPUT: EXPIRES.isoformat()})
    assert warnings(known, EXPIRES - timedelta(days=61)) == ()
    for days in (-59, 0, 400):
        (told,) = warnings(known, EXPIRES + timedelta(days=days))
        assert "expire on 2037-11-25" in told
        assert "python -m q8s_infra renew" in told


@pytest.mark.parametrize(("valid", "left"), [(1, 1 / 3), (90, 30), (179, 179 / 3), (365, 60), (3650, 60)])
def test_of_a_short_time_it_is_said_for_the_last_third(valid: int, left: float) -> None:
    known = stack(**{OUTPUT: EXPIRES.isoformat(), SINCE: (EXPIRES - timedelta(days=valid)).isoformat()})
    assert warnings(known, EXPIRES - timedelta(days=valid)) == ()
    assert warnings(known, EXPIRES - timedelta(days=left, minutes=1)) == ()
    assert warnings(known, EXPIRES - timedelta(days=left, minutes=-1))


def test_a_stack_without_a_cluster_says_nothing() -> None:
    assert warnings(StackState()) == ()
    assert warnings(stack(endpoint="10.0.0.1:6443")) == ()


@pytest.mark.parametrize(("given", "hours"), [("90d", "2160h"), ("36h", "36h"), ("365d", None), ("8760h", None)])
def test_a_cluster_is_made_for_another_period_than_kubeadms(given: str, hours: str | None) -> None:
    files = certificate_files(validated(spoiled("kubernetes/certificateValidityPeriod", given)))
    assert files == ({"certificates.yaml": f"certificateValidityPeriod: {hours}\n"} if hours else {})


SETTINGS = (
    "apiServer:\n  certSANs:\n  - 10.254.1.7\ncaCertificateValidityPeriod: 87600h0m0s\n{period}clusterName: good\n"
)


@pytest.mark.parametrize("former", ["", "certificateValidityPeriod: 8760h0m0s\n"])
@pytest.mark.parametrize("given", ["90d", "365d"])
def test_a_renewal_is_the_clusters_setting_from_then_on(tmp_path: Path, given: str, former: str) -> None:
    renewal = renewal_configuration(validated(spoiled("kubernetes/certificateValidityPeriod", given)))
    (tmp_path / "kubeadm.yaml").write_text(renewal)
    sourced = f"source {REPOSITORY}/hostscripts/static-pods.sh"
    (tmp_path / "settings").write_text(SETTINGS.format(period=former))
    done = step(tmp_path, "eval", f'{sourced}; lasting "$(<settings)" $PWD/kubeadm.yaml')
    assert done.returncode == 0, done.stderr
    kept = yaml.safe_load(SETTINGS.format(period=""))
    wanted = {"certificateValidityPeriod": yaml.safe_load(renewal)["certificateValidityPeriod"]}
    assert yaml.safe_load(yaml.safe_load(done.stdout)["data"]["ClusterConfiguration"]) == {**kept, **wanted}


def test_a_cluster_is_made_with_what_its_host_has(tmp_path: Path) -> None:
    script = (REPOSITORY / "hostscripts/init-cluster.sh").read_text()
    (line,) = (line for line in script.splitlines() if "$certificates" in line)
    spec = validated(spoiled("kubernetes/certificateValidityPeriod", "90d"))
    (tmp_path / "certificates.yaml").write_text(certificate_files(spec)["certificates.yaml"])
    (tmp_path / "kubeadm.yaml").write_text(init_configuration(spec, node="demo", address="10.0.0.7", names=[]))
    done = step(tmp_path, "eval", f"certificates=$PWD/certificates.yaml; {line}")
    assert done.returncode == 0, done.stderr
    made = {each["kind"]: each for each in yaml.safe_load_all((tmp_path / "kubeadm.yaml").read_text())}
    assert made["ClusterConfiguration"]["certificateValidityPeriod"] == "2160h"
    assert made["ClusterConfiguration"]["clusterName"] == spec.name
