"""Proxies as the program renders them, and as hosts use them: with real curl and a real proxy."""

from __future__ import annotations

import base64
import subprocess
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import partial
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Final

import pytest

from q8s_infra.render.node import node_files
from q8s_infra.render.proxy import apt_proxy, containerd_files, environment, proxy_files
from q8s_infra.render.seed import seed
from q8s_infra.render.sources import apt_files
from q8s_infra.render.templates import REPOSITORY
from q8s_infra.spec import ClusterSpec, validated
from tests.unit.hostscript import LIMIT, stand_in, step
from tests.unit.rendered import identity
from tests.unit.specs import spoiled

PASSWORD: Final = "hunter2"
PROXY: Final = f"http://user:{PASSWORD}@proxy.example:3128"
SCRIPTS: Final = REPOSITORY / "hostscripts"


def behind(**proxy: object) -> ClusterSpec:
    """A cluster behind proxies."""
    return validated(spoiled("proxy", proxy))


def test_the_environment_of_proxies() -> None:
    spec = behind(http=PROXY, https="http://other.example:8080", noProxy=["mirror.example", "10.9.0.0/16", "localhost"])
    assert environment(spec) == {
        "http_proxy": PROXY,
        "https_proxy": "http://other.example:8080",
        "no_proxy": "mirror.example,10.9.0.0/16,localhost,127.0.0.0/8,169.254.169.254,192.168.123.0/30,.svc,"
        ".cluster.local,10.254.1.0/24,10.244.0.0/16,10.96.0.0/12,demo.q8s.internal",
    }


def test_a_proxy_for_http_is_the_one_for_https_too_and_not_the_other_way_round() -> None:
    assert environment(behind(http=PROXY))["https_proxy"] == PROXY
    assert "http_proxy" not in environment(behind(https=PROXY))


def test_without_a_proxy_nobody_is_told_of_one() -> None:
    spec = behind()
    assert environment(spec) == {}
    files = {**proxy_files(spec), **containerd_files(spec), **node_files(spec), **apt_files(spec, kubernetes=True)}
    assert not [path for path in files if "proxy" in path]
    assert apt_proxy(spec, ["http://mirror.example/debian"]) == ""


def test_apt_is_told_which_hosts_of_its_sources_are_direct() -> None:
    spec = behind(http=PROXY, https="http://other.example:8080", noProxy=["mirror.example", ".inside", "10.9.0.0/16"])
    sources = (
        "http://mirror.example:8080/debian",
        "https://deb.Inside/debian",
        "http://10.9.1.1/debian",
        "http://10.254.1.9/debian",
        "http://deb.example/debian",
        "http://10.10.0.1/debian",
        "file:///srv/debian",
    )
    direct = ("10.254.1.9", "10.9.1.1", "deb.inside", "mirror.example")
    assert apt_proxy(spec, sources).splitlines() == [
        f'Acquire::http::Proxy "{PROXY}";',
        *(f'Acquire::http::Proxy::{host} "DIRECT";' for host in direct),
        'Acquire::https::Proxy "http://other.example:8080";',
        *(f'Acquire::https::Proxy::{host} "DIRECT";' for host in direct),
    ]


def written(spec: ClusterSpec) -> dict[str, tuple[int, str]]:
    """Modes and contents of what a node's guest gets with its identity, by path."""
    return {f"/{path}": (mode, content) for path, (content, mode) in identity(spec, "guest").items()}


def test_a_guest_s_containerd_has_its_proxies_in_a_file_that_only_root_reads() -> None:
    without, behind_it = written(behind()), written(behind(http=PROXY))
    unit, variables = "/etc/systemd/system/containerd.service.d/q8s-proxy.conf", "/etc/q8s/proxy.env"
    assert behind_it.keys() - without.keys() == {unit, variables}
    mode, content = behind_it[variables]
    assert mode == 0o600
    assert f"http_proxy={PROXY}\n" in content
    mode, content = behind_it[unit]
    assert mode == 0o644
    assert f"EnvironmentFile={variables}\n" in content
    assert PASSWORD not in "".join(content for path, (_, content) in behind_it.items() if path != variables)
    assert seed(behind(), authorized_keys=[]) == seed(behind(http=PROXY), authorized_keys=[])


@dataclass
class Heard:
    """A server on loopback, which answers everything with its own name, and what it was asked."""

    name: str
    url: str = ""
    asked: list[str] = field(default_factory=list)
    credentials: list[str] = field(default_factory=list)


class Answer(BaseHTTPRequestHandler):
    """A proxy, where it is asked for whole URLs."""

    def __init__(self, heard: Heard, *args: object) -> None:
        self.heard = heard
        super().__init__(*args)  # type: ignore[arg-type]

    def do_GET(self) -> None:
        """Answer."""
        self.heard.asked.append(self.path)
        self.heard.credentials.append(self.headers.get("Proxy-Authorization", ""))
        self.send_response(404 if self.path.endswith("/missing") else 200)
        self.end_headers()
        self.wfile.write(self.heard.name.encode())

    def log_message(self, *_: object) -> None:
        """Nothing."""


@pytest.fixture
def heard() -> Iterator[tuple[Heard, Heard]]:
    """A proxy, and a server beside it."""
    both = (Heard("proxy"), Heard("origin"))
    servers = [ThreadingHTTPServer(("127.0.0.1", 0), partial(Answer, each)) for each in both]
    for each, server in zip(both, servers, strict=True):
        each.url = f"127.0.0.1:{server.server_port}"
        threading.Thread(target=server.serve_forever, daemon=True).start()
    yield both
    for server in servers:
        server.shutdown()
        server.server_close()


def laid(folder: Path, spec: ClusterSpec) -> None:
    """The documents of a step that downloads."""
    (folder / "apt").mkdir(exist_ok=True)
    for path in ("proxy.env", "apt/proxy", "q8s-proxy.conf"):
        (folder / path).unlink(missing_ok=True)
    for path, content in {**proxy_files(spec), **containerd_files(spec), **apt_files(spec, kubernetes=True)}.items():
        if "proxy" in path:
            (folder / path).write_text(content)


def test_a_download_goes_by_the_proxy_unless_its_host_is_direct(tmp_path: Path, heard: tuple[Heard, Heard]) -> None:
    proxy, origin = heard
    laid(tmp_path, behind(http=f"http://user:{PASSWORD}@{proxy.url}", noProxy=["127.0.0.1"]))
    done = step(tmp_path, "download", "http://far.example/file", tmp_path / "far")
    assert (done.returncode, (tmp_path / "far").read_text()) == (0, "proxy"), done.stderr
    assert proxy.asked == ["http://far.example/file"]
    assert base64.b64decode(proxy.credentials[0].removeprefix("Basic ")).decode() == f"user:{PASSWORD}"
    done = step(tmp_path, "download", f"http://{origin.url}/file", tmp_path / "near")
    assert (done.returncode, (tmp_path / "near").read_text()) == (0, "origin"), done.stderr
    assert (proxy.asked, origin.asked) == (["http://far.example/file"], ["/file"])


def test_a_failed_download_does_not_tell_the_password(tmp_path: Path, heard: tuple[Heard, Heard]) -> None:
    laid(tmp_path, behind(http=f"http://user:{PASSWORD}@{heard[0].url}"))
    done = step(tmp_path, "download", "http://far.example/missing", tmp_path / "file")
    assert done.returncode != 0
    assert "cannot download http://far.example/missing" in done.stderr
    assert PASSWORD not in done.stdout + done.stderr + (tmp_path / "log").read_text()


def test_a_step_that_has_downloaded_leaves_kubeadm_no_proxy(tmp_path: Path, heard: tuple[Heard, Heard]) -> None:
    laid(tmp_path, behind(http=f"http://{heard[0].url}"))
    done = step(tmp_path, "eval", f"download http://far.example/file {tmp_path}/file; env")
    assert done.returncode == 0, done.stderr
    assert heard[0].asked
    assert "_proxy=http" not in done.stdout


def test_apt_goes_by_the_proxy_unless_its_source_is_direct(tmp_path: Path, heard: tuple[Heard, Heard]) -> None:
    proxy, origin = heard
    sources = "http://far.example/debian", f"http://{origin.url}/debian"
    apt = tmp_path / "apt"
    for folder in ("etc/apt", "var/lib/apt/lists/partial", "var/cache/apt/archives/partial"):
        (apt / folder).mkdir(parents=True)
    (apt / "etc/apt/sources.list").write_text("".join(f"deb [trusted=yes] {source} ./\n" for source in sources))
    given = apt_proxy(behind(http=f"http://user:{PASSWORD}@{proxy.url}", noProxy=["127.0.0.0/8"]), sources)
    (apt / "apt.conf").write_text(f'Dir "{apt}";\nDir::State::status "/dev/null";\nAPT::Sandbox::User "root";\n{given}')
    command = ["env", "-i", f"APT_CONFIG={apt}/apt.conf", "PATH=/usr/bin:/bin", "apt-get", "update"]
    done = subprocess.run(command, check=False, capture_output=True, text=True, timeout=LIMIT)
    assert {url.startswith(sources[0]) for url in proxy.asked} == {True}, done.stderr
    assert {path.startswith("/debian/") for path in origin.asked} == {True}, done.stderr
    assert PASSWORD not in done.stdout + done.stderr


def noting(folder: Path, name: str, does: str) -> None:
    """A program that notes its environment and its arguments, and does this."""
    stand_in(folder, name, f"env >{folder}/{name}.env\nprintf '%s\\n' \"$@\" >>{folder}/{name}.arguments\n{does}")


def test_the_payload_s_images_come_by_the_proxy(tmp_path: Path) -> None:
    laid(tmp_path, behind(http=PROXY))
    programs = tmp_path / "programs"
    noting(programs, "containerd", f"echo $$ >{programs}/pid; exec sleep 60")
    # It is ready when the other one is.
    noting(programs, "ctr", f"[[ -s {programs}/pid ]]")
    sources = "; ".join(f"source {SCRIPTS}/{name}.sh" for name in ("container-runtime", "payload"))
    given = f"PATH={programs}:$PATH; platform=linux/arm64; sleep() {{ command sleep 0.2; }}; progress() {{ :; }}"
    done = step(tmp_path, "eval", f"{sources}; {given}; payload_images $PWD/work $PWD/root '' an.example/image")
    assert done.returncode == 0, done.stderr
    for name in ("containerd", "ctr"):
        assert f"http_proxy={PROXY}\n" in (programs / f"{name}.env").read_text()
        assert PASSWORD not in (programs / f"{name}.arguments").read_text()
    assert "an.example/image" in (programs / "ctr.arguments").read_text()
    assert not Path("/proc", (programs / "pid").read_text().strip()).exists()


@pytest.mark.parametrize(
    ("function", "file"),
    [("containerd_proxy", "q8s/proxy.env"), ("apt_proxy", "apt.conf.d/80q8s-proxy")],
)
def test_a_host_s_proxies_come_change_and_go(tmp_path: Path, function: str, file: str) -> None:
    places = f"q8s_etc={tmp_path}/q8s systemd_units={tmp_path}/system apt_configuration={tmp_path}/apt.conf.d"
    unit = tmp_path / "system" / "containerd.service.d" / "q8s-proxy.conf"

    def changed(spec: ClusterSpec) -> bool:
        laid(tmp_path, spec)
        asked = f"if {function}; then echo changed; fi"
        done = step(tmp_path, "eval", f"{places}; source {SCRIPTS}/container-runtime.sh; {asked}")
        assert done.returncode == 0, done.stderr
        return "changed" in done.stdout

    assert not changed(behind())
    for url in (PROXY, "http://other.example:3128"):
        assert changed(behind(http=url))
        assert not changed(behind(http=url))
        assert url in (tmp_path / file).read_text()
        assert (tmp_path / file).stat().st_mode & 0o777 == 0o600
        assert unit.exists() == (function == "containerd_proxy")
    assert changed(behind())
    assert not (tmp_path / file).exists()
    assert not unit.exists()
    assert not changed(behind())
