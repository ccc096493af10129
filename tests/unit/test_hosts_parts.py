"""What a host is made of: commands, files and control groups, without making one."""

from __future__ import annotations

import json
import subprocess
import tomllib
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

import lab.hosts
from lab.hosts import cgroups, network
from lab.hosts.cgroups import Hierarchy
from lab.hosts.host import Folders, Host, all_hosts, boot_command, boot_environment, mount_command
from lab.hosts.network import Nic
from lab.hosts.seed import seed_files
from lab.mirrors.debian import PREFERENCES
from lab.versions import HOST_SUITE

PACKAGE = Path(lab.hosts.__file__).parent
HOST = Host("0f6a2c1e-7d1b-4d0a-9a53-1f1f0c0d0e0f", "instance-00000001", "w1", 4096, cpus=2, disk_gib=40)
NIC = Nic("eth0", "tap01234567-89", "brq01234567-89", "fa:16:3e:01:02:03", 1450, ("10.254.1.10/24",), "10.254.1.1")


class TestHost:
    def test_a_saved_host_is_found_again(self, tmp_path: Path) -> None:
        HOST.folder(tmp_path).mkdir()
        HOST.save(tmp_path)
        assert Host.load(tmp_path, HOST.uuid) == HOST
        assert all_hosts(tmp_path) == [HOST]

    def test_a_folder_without_a_record_is_no_host(self, tmp_path: Path) -> None:
        (tmp_path / HOST.uuid).mkdir()
        assert Host.load(tmp_path, HOST.uuid) is None
        assert all_hosts(tmp_path) == []

    def test_the_machine_name_is_a_valid_host_name(self) -> None:
        assert len(HOST.machine) <= 64

    def test_root_is_an_overlay_and_var_is_not(self, tmp_path: Path) -> None:
        folders = Folders.of(HOST, tmp_path)
        written = tmp_path / HOST.uuid / "disk"
        assert f"lowerdir=/image,upperdir={written}/upper,workdir={written}/work" in mount_command(
            Path("/image"), folders
        )
        assert f"--bind={written}/var:/var" in boot_command(HOST, folders)

    def test_a_host_from_before_disks_and_cpus_were_enforced_goes_on_without(self, tmp_path: Path) -> None:
        record = {"uuid": HOST.uuid, "name": HOST.name, "hostname": HOST.hostname, "memory_mib": 4096}
        HOST.folder(tmp_path).mkdir()
        (HOST.folder(tmp_path) / "host.json").write_text(json.dumps(record))
        host = Host.load(tmp_path, HOST.uuid)
        assert host == Host(HOST.uuid, HOST.name, HOST.hostname, 4096, cpus=0, disk_gib=0)
        assert Folders.of(host, tmp_path).var == HOST.folder(tmp_path) / "var"

    def test_a_host_gets_what_kubernetes_and_libvirt_need_and_no_kvm(self, tmp_path: Path) -> None:
        command = boot_command(HOST, Folders.of(HOST, tmp_path))
        assert {"--bind=/dev/net/tun", "--bind=/dev/kmsg", "--boot", "--register=no"} <= set(command)
        assert not [word for word in command if "kvm" in word]
        assert f"--network-namespace-path=/run/netns/{HOST.machine}" in command

    @pytest.mark.parametrize(("unified", "value"), [(True, "1"), (False, "0")])
    def test_the_host_sees_the_control_groups_of_the_machine(self, unified: bool, value: str) -> None:
        assert boot_environment(unified=unified)["SYSTEMD_NSPAWN_UNIFIED_HIERARCHY"] == value


class TestNetwork:
    def test_a_port_is_on_the_bridge_only_when_it_is_complete(self) -> None:
        commands = [" ".join(command) for command in network.plug_commands("q8s-x", NIC)]
        assert commands == [
            "ip link add tap01234567-89 mtu 1450 type veth"
            " peer name eth0 address fa:16:3e:01:02:03 mtu 1450 netns q8s-x",
            "ip -n q8s-x address add 10.254.1.10/24 dev eth0",
            "ip -n q8s-x link set eth0 up",
            "ip -n q8s-x route replace default via 10.254.1.1 dev eth0",
            "ip link set tap01234567-89 master brq01234567-89 up",
        ]

    def test_a_port_without_gateway_has_no_route(self) -> None:
        nic = Nic("eth1", "tapa", "brqa", "fa:16:3e:01:02:04", 1500)
        assert not [command for command in network.plug_commands("q8s-x", nic) if "route" in command]


class TestCgroups:
    def test_hierarchies_are_read_from_the_mounts(self) -> None:
        mounts = (
            "tmpfs /sys/fs/cgroup tmpfs rw 0 0\n"
            "cgroup /sys/fs/cgroup/cpu,cpuacct cgroup rw,relatime,cpu,cpuacct 0 0\n"
            "cgroup /sys/fs/cgroup/memory cgroup rw,relatime,memory 0 0\n"
            "cgroup /sys/fs/cgroup/systemd cgroup rw,name=systemd 0 0\n"
            "cgroup2 /sys/fs/cgroup/unified cgroup2 rw 0 0\n"
        )
        found = cgroups.parse_mounts(mounts)
        assert [each.path.name for each in found] == ["cpu,cpuacct", "memory", "systemd", "unified"]
        assert [each.is_v2 for each in found] == [False, False, False, True]
        assert not cgroups.is_unified(found)
        assert cgroups.is_unified(found[3:])

    def test_memory_is_limited_and_cpusets_are_usable(self, tmp_path: Path) -> None:
        memory, cpuset = tmp_path / "memory", tmp_path / "cpuset"
        # The kernel makes these files with the groups.
        for group in (cpuset, cpuset / "q8s-lab", cpuset / "q8s-lab" / "h", memory / "q8s-lab" / "h"):
            group.mkdir(parents=True)
            for name in ("cpuset.cpus", "cpuset.mems"):
                (group / name).write_text("0-1\n" if group == cpuset else "\n")
        found = [Hierarchy(memory, frozenset({"memory"})), Hierarchy(cpuset, frozenset({"cpuset"}))]
        groups = cgroups.create("h", 2048, 0, found)
        assert groups == [memory / "q8s-lab" / "h", cpuset / "q8s-lab" / "h"]
        assert (groups[0] / "memory.limit_in_bytes").read_text() == str(2048 * 1024 * 1024)
        assert (groups[1] / "cpuset.cpus").read_text() == "0-1\n"
        assert (groups[1] / "cgroup.clone_children").read_text() == "1"

    @pytest.mark.parametrize(("count", "chosen"), [(1, "2"), (2, "2,8"), (3, "0,2,8"), (9, "0,1,2,3,8")])
    def test_cpus_are_those_that_the_fewest_other_hosts_have(self, tmp_path: Path, count: int, chosen: str) -> None:
        available = tmp_path / "cpuset.cpus"
        available.write_text("0-3,8\n")
        # The last is the host's own, as it got it from its parent; one that is empty has all.
        for name, cpus in {"a": "0-1,3", "b": "1", "c": "0-3,8", "d": "", "h": "0-3,8"}.items():
            (tmp_path / name).mkdir()
            (tmp_path / name / "cpuset.cpus").write_text(f"{cpus}\n")
        cgroups._pin(available, tmp_path / "h", count)
        assert (tmp_path / "h" / "cpuset.cpus").read_text() == chosen

    def test_a_group_that_is_there_keeps_its_cpus(self, tmp_path: Path) -> None:
        for group in (tmp_path, tmp_path / "q8s-lab", tmp_path / "q8s-lab" / "h"):
            group.mkdir(exist_ok=True)
            for file in ("cpuset.cpus", "cpuset.mems"):
                (group / file).write_text("0-1\n")
        [group] = cgroups.create("h", 2048, 1, [Hierarchy(tmp_path, frozenset({"cpuset"}))])
        assert (group / "cpuset.cpus").read_text() == "0-1\n"

    def test_the_unified_hierarchy_limits_time_where_it_has_no_cpuset(self, tmp_path: Path) -> None:
        for group in (tmp_path, tmp_path / "q8s-lab"):
            group.mkdir(exist_ok=True)
            (group / "cgroup.controllers").write_text("cpu memory\n")
        [group] = cgroups.create("h", 2048, 2, [Hierarchy(tmp_path, is_v2=True)])
        assert (group / "cpu.max").read_text() == "200000 100000"

    def test_members_are_those_of_all_groups_of_a_host(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(cgroups, "hierarchies", lambda: [Hierarchy(tmp_path / "a"), Hierarchy(tmp_path / "b")])
        for group, members in {"a/q8s-lab/h": "1\n", "a/q8s-lab/h/inner": "2\n3\n", "b/q8s-lab/other": "4\n"}.items():
            (tmp_path / group).mkdir(parents=True)
            (tmp_path / group / "cgroup.procs").write_text(members)
        assert cgroups.members("h") == {1, 2, 3}
        assert cgroups.members("no-such-host") == set()


class TestSeed:
    def test_names_and_identity(self) -> None:
        files = {file.path: file for file in seed_files(HOST, user_data=None, public_key=None)}
        assert files["etc/hostname"].content == b"w1\n"
        assert b"127.0.1.1 w1\n" in files["etc/hosts"].content
        assert files["etc/machine-id"].content == HOST.uuid.replace("-", "").encode() + b"\n"
        assert "etc/resolv.conf" not in files

    def test_user_data_is_kept_from_others(self) -> None:
        files = {file.path: file for file in seed_files(HOST, user_data=b"\x1f\x8b\x00", public_key=None)}
        seed = files["var/lib/cloud/seed/nocloud/user-data"]
        assert (seed.content, seed.mode) == (b"\x1f\x8b\x00", 0o600)

    def test_resolvers_of_the_subnet(self) -> None:
        files = seed_files(HOST, user_data=None, public_key=None, nameservers=["10.0.0.1", "10.0.0.2"])
        assert files[-1].content == b"nameserver 10.0.0.1\nnameserver 10.0.0.2\n"

    @given(st.text(min_size=1).filter(lambda text: bool(text.strip())))
    def test_any_key_comment_survives(self, comment: str) -> None:
        key = f"ssh-ed25519 AAAA {comment.strip()}"
        files = {file.path: file for file in seed_files(HOST, user_data=None, public_key=key)}
        metadata = json.loads(files["var/lib/cloud/seed/nocloud/meta-data"].content)
        assert metadata["public-keys"] == [key]
        assert metadata["instance-id"] == HOST.uuid


class TestImage:
    @pytest.mark.parametrize(
        "configuration",
        [
            None,
            "",
            'version = 2\nroot = "/x"\n',
            'version = 2\n[plugins."io.containerd.grpc.v1.cri"]\n  sandbox_image = "p"\n'
            "  restrict_oom_score_adj = false\n"
            '  [plugins."io.containerd.grpc.v1.cri".registry]\n    config_path = "/c"\n',
            'version = 3\n[plugins."io.containerd.cri.v1.images"]\n  x = 1\n',
            "version = 3\n[plugins.'io.containerd.cri.v1.runtime']\n  x = 1\n",
        ],
    )
    def test_containerd_configuration_keeps_all_else(self, tmp_path: Path, configuration: str | None) -> None:
        source, target = tmp_path / "config.toml", tmp_path / "run" / "containerd.toml"
        if configuration is not None:
            source.write_text(configuration)
        script = PACKAGE / "rootfs/usr/local/lib/q8s-lab/containerd-config"
        subprocess.run(["bash", script, source, target], check=True)
        before, after = tomllib.loads(configuration or ""), tomllib.loads(target.read_text())
        name = "io.containerd.cri.v1.runtime" if after["version"] == 3 else "io.containerd.grpc.v1.cri"
        assert after["plugins"][name].pop("restrict_oom_score_adj") is True
        expected = {"version": 2, "plugins": {}, **before}
        expected["plugins"].setdefault(name, {}).pop("restrict_oom_score_adj", None)
        assert after == expected


class TestLaunch:
    def test_it_joins_every_group_and_boots_again_when_asked(self, tmp_path: Path) -> None:
        groups = [tmp_path / "a", tmp_path / "b"]
        for group in groups:
            group.mkdir()
        boots = tmp_path / "boots"
        command = f'echo boot >>"{boots}"; [ "$(wc -l <"{boots}")" -ge 3 ] && exit 7; exit 133'
        done = subprocess.run(
            ["bash", PACKAGE / "launch.sh", *groups, "--", "bash", "-c", command], timeout=10, check=False
        )
        assert done.returncode == 7
        assert boots.read_text() == "boot\n" * 3
        assert all((group / "cgroup.procs").read_text().strip().isdecimal() for group in groups)


def test_its_package_sources_are_of_the_release_that_it_is_made_from() -> None:
    text = (PACKAGE / "rootfs/etc/apt/sources.list.d/debian.sources").read_text()
    suites = {suite for line in text.splitlines() if line.startswith("Suites:") for suite in line.split()[1:]}
    assert suites == {HOST_SUITE, *(f"{HOST_SUITE}-{kind}" for kind in ("updates", "backports", "security"))}
    assert f"n={HOST_SUITE}-backports\n" in PREFERENCES.read_text()
