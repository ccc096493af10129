"""The databases: made and migrated once for each version of OpenStack."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from lab import layout
from lab.openstack.passwords import Passwords
from lab.openstack.programs import DATABASE_DIRECTORY, DATABASE_SOCKET
from lab.openstack.settings import DATABASES
from lab.openstack.venv import VENV
from lab.services import LabError

_LOG = layout.LOGS / "databases.log"
_MIGRATED = layout.STATE / "migrated"


def initialise() -> None:
    """An empty database directory, unless there is one."""
    if (DATABASE_DIRECTORY / "mysql").exists():
        return
    DATABASE_DIRECTORY.mkdir(parents=True, exist_ok=True)
    shutil.chown(DATABASE_DIRECTORY, "mysql", "mysql")
    _run(
        "mariadb-install-db", "--no-defaults", "--user=mysql", f"--datadir={DATABASE_DIRECTORY}",
        "--auth-root-authentication-method=socket", "--skip-test-db",
    )  # fmt: skip


def create(passwords: Passwords) -> None:
    """A database for each service, and the account that they use. The password goes by stdin."""
    statements = [f"ALTER USER IF EXISTS lab@{layout.LOOPBACK!r} IDENTIFIED BY '{passwords.database}';"]
    statements.append(f"CREATE USER IF NOT EXISTS lab@{layout.LOOPBACK!r} IDENTIFIED BY '{passwords.database}';")
    for name in DATABASES:
        statements.append(f"CREATE DATABASE IF NOT EXISTS {name};")
        statements.append(f"GRANT ALL ON {name}.* TO lab@{layout.LOOPBACK!r};")
    subprocess.run(
        ["mariadb", "--no-defaults", f"--socket={DATABASE_SOCKET}"], input="\n".join(statements), text=True, check=True
    )


def is_migrated() -> bool:
    """True where this very OpenStack has migrated the databases."""
    return _MIGRATED.exists() and _MIGRATED.read_text() == VENV.key


def migrate() -> None:
    """Bring all schemas to this OpenStack's, as far as possible side by side."""
    etc = layout.ETC
    keystone = ("keystone-manage", "--config-dir", etc / "keystone")
    as_root = ("--keystone-user", "root", "--keystone-group", "root")
    nova = ("nova-manage", "--config-file", etc / "nova/nova.conf")
    neutron = ("--config-file", etc / "neutron/neutron.conf", "--config-file", etc / "neutron/ml2.ini")
    chains: Sequence[Sequence[tuple[str | Path, ...]]] = (
        (
            (*keystone, "db_sync"),
            (*keystone, "fernet_setup", *as_root),
            (*keystone, "credential_setup", *as_root),
            ("glance-manage", "--config-file", etc / "glance/glance-api.conf", "db_sync"),
            ("placement-manage", "--config-dir", etc / "placement", "db", "sync"),
            ("neutron-db-manage", *neutron, "upgrade", "heads"),
        ),
        ((*nova, "api_db", "sync"), (*nova, "cell_v2", "map_cell0"), (*nova, "db", "sync")),
    )
    with ThreadPoolExecutor(len(chains)) as pool:
        list(pool.map(lambda chain: [_manage(*words) for words in chain], chains))
    if "cell1" not in _manage(*nova, "cell_v2", "list_cells"):
        _manage(*nova, "cell_v2", "create_cell", "--name", "cell1")
    _MIGRATED.write_text(VENV.key)


def bootstrap_identity(passwords: Passwords) -> None:
    """Keystone's administrator, roles and own endpoint; idempotent."""
    url = layout.KEYSTONE_URL
    _manage(
        "keystone-manage", "--config-dir", layout.ETC / "keystone", "bootstrap", "--bootstrap-region-id", layout.REGION,
        "--bootstrap-public-url", url, "--bootstrap-internal-url", url, "--bootstrap-admin-url", url,
        OS_BOOTSTRAP_PASSWORD=passwords.admin,
    )  # fmt: skip


def discover_hosts() -> None:
    """Tell Nova's cells of a compute service that has just come up."""
    _manage("nova-manage", "--config-file", layout.ETC / "nova/nova.conf", "cell_v2", "discover_hosts")


def _manage(tool: str | Path, *words: str | Path, **environment: str) -> str:
    return _run(VENV.path / "bin" / tool, *words, **environment)


def _run(*words: str | Path, **environment: str) -> str:
    command = [str(word) for word in words]
    with _LOG.open("a") as log:
        done = subprocess.run(
            command, env={**os.environ, **environment}, stdout=subprocess.PIPE, stderr=log, text=True, check=False
        )
        log.write(done.stdout)
    if done.returncode:
        raise LabError(f"{Path(command[0]).name} {command[-1]} failed ({done.returncode}): see {_LOG}")
    return done.stdout
