"""The databases: made and migrated once for each version of OpenStack."""

from __future__ import annotations

import os
import shutil
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Final

from lab import files, layout
from lab.artifact import Artifact, Builder
from lab.command import run
from lab.openstack.passwords import Passwords
from lab.openstack.programs import DATABASE_DIRECTORY, DATABASE_SOCKET
from lab.openstack.settings import DATABASES
from lab.openstack.venv import VENV
from lab.services import LabError

_TOOL_SECONDS: Final = 600
_LOG: Final = layout.LOGS / "databases.log"
_MIGRATED: Final = layout.STATE / "migrated"
_DUMP: Final = "schemas.sql"
_CLIENT: Final = ("--no-defaults", f"--socket={DATABASE_SOCKET}")
_KEYSTONE: Final = ("keystone-manage", "--config-dir", layout.ETC / "keystone")
_NOVA: Final = ("nova-manage", "--config-file", layout.ETC / "nova/nova.conf")
# Nova fills these in from its configuration, so that no password is in the database.
_ANY_DATABASE: Final = "{scheme}://{username}:{password}@{hostname}:{port}"
_ANY_BROKER: Final = "{scheme}://{username}:{password}@{hostname}:{port}/"


def initialise() -> None:
    """An empty database directory, unless there is one."""
    if DATABASE_DIRECTORY.exists():
        return
    unfinished = DATABASE_DIRECTORY.with_suffix(".new")
    shutil.rmtree(unfinished, ignore_errors=True)
    unfinished.mkdir(parents=True)
    shutil.chown(unfinished, "mysql", "mysql")
    _run(
        "mariadb-install-db", "--no-defaults", "--user=mysql", f"--datadir={unfinished}",
        "--auth-root-authentication-method=socket", "--skip-test-db",
    )  # fmt: skip
    unfinished.rename(DATABASE_DIRECTORY)


def create(passwords: Passwords) -> None:
    """A database for each service, and the account that they use. The password goes by stdin."""
    statements = [f"ALTER USER IF EXISTS lab@{layout.LOOPBACK!r} IDENTIFIED BY '{passwords.database}';"]
    statements.append(f"CREATE USER IF NOT EXISTS lab@{layout.LOOPBACK!r} IDENTIFIED BY '{passwords.database}';")
    for name in DATABASES:
        statements.append(f"CREATE DATABASE IF NOT EXISTS {name};")
        statements.append(f"GRANT ALL ON {name}.* TO lab@{layout.LOOPBACK!r};")
    run("mariadb", *_CLIENT, stdin="\n".join(statements), limit=_TOOL_SECONDS)


def is_migrated() -> bool:
    """True where this very OpenStack has migrated the databases."""
    return _MIGRATED.exists() and _MIGRATED.read_text() == VENV.key


def migrate() -> float | None:
    """Bring all schemas to this OpenStack's: from the cache where they are empty, else by each service's own tool.

    Returns:
        Seconds that the tools took, or None where the cache had it all.

    Raises:
        LabError: a tool failed; names the log.
    """
    keys = ("fernet_setup", "credential_setup")
    as_root = ("--keystone-user", "root", "--keystone-group", "root")
    with ThreadPoolExecutor() as pool:
        made = [pool.submit(_manage, *_KEYSTONE, key, *as_root) for key in keys]
        seconds: float | None = None
        if _MIGRATED.exists():
            started = time.monotonic()
            _synchronise()
            seconds = time.monotonic() - started
        else:
            seconds = SCHEMAS.ensure()
            if seconds is None:
                _load(SCHEMAS.path / _DUMP)
        for each in made:
            each.result(timeout=_TOOL_SECONDS)
    return seconds


def note_migrated() -> None:
    """Say that the databases are whole: with all that :func:`is_migrated` spares the next start."""
    files.write(_MIGRATED, VENV.key)


def _synchronise() -> None:
    """Each service's own migrations, as far as possible side by side."""
    neutron = ("--config-file", layout.ETC / "neutron/neutron.conf", "--config-file", layout.ETC / "neutron/ml2.ini")
    chains: Sequence[Sequence[tuple[str | Path, ...]]] = (
        (
            (*_KEYSTONE, "db_sync"),
            ("glance-manage", "--config-file", layout.ETC / "glance/glance-api.conf", "db_sync"),
            ("placement-manage", "--config-dir", layout.ETC / "placement", "db", "sync"),
            ("cinder-manage", "--config-file", layout.ETC / "cinder/cinder.conf", "db", "sync"),
            ("neutron-db-manage", *neutron, "upgrade", "heads"),
        ),
        (
            (*_NOVA, "api_db", "sync"),
            (*_NOVA, "cell_v2", "map_cell0", "--database_connection", f"{_ANY_DATABASE}/nova_cell0?{{query}}"),
            (*_NOVA, "db", "sync"),
        ),
    )
    with ThreadPoolExecutor(len(chains)) as pool:
        list(pool.map(lambda chain: [_manage(*words) for words in chain], chains))
    if "cell1" not in _manage(*_NOVA, "cell_v2", "list_cells"):
        cell = ("--database_connection", f"{_ANY_DATABASE}/nova?{{query}}", "--transport-url", _ANY_BROKER)
        _manage(*_NOVA, "cell_v2", "create_cell", "--name", "cell1", *cell)


def _make_schemas(builder: Builder) -> None:
    _synchronise()
    words = ["mariadb-dump", *_CLIENT, "--single-transaction", "--skip-dump-date", "--databases", *DATABASES]
    (builder.out / _DUMP).write_text(run(*words, limit=_TOOL_SECONDS).stdout)


def _load(dump: Path) -> None:
    run("mariadb", *_CLIENT, stdin=dump.read_text(), limit=_TOOL_SECONDS)


SCHEMAS: Final = Artifact("database-schemas", _make_schemas, pins=DATABASES, needs=(VENV,))
"""The migrated and otherwise empty databases. No secret is in them: Nova's cells refer to its configuration. Built
while the database server runs, and so not with the other artifacts."""


def bootstrap_identity(passwords: Passwords) -> None:
    """Keystone's administrator, roles and own endpoint; idempotent."""
    url = layout.KEYSTONE_URL
    _manage(
        *_KEYSTONE, "bootstrap", "--bootstrap-region-id", layout.REGION,
        "--bootstrap-public-url", url, "--bootstrap-internal-url", url, "--bootstrap-admin-url", url,
        OS_BOOTSTRAP_PASSWORD=passwords.admin,
    )  # fmt: skip


def discover_hosts() -> None:
    """Tell Nova's cells of a compute service that has just come up."""
    _manage(*_NOVA, "cell_v2", "discover_hosts")


def _manage(tool: str | Path, *words: str | Path, **environment: str) -> str:
    return _run(VENV.path / "bin" / tool, *words, **environment)


def _run(*words: str | Path, **environment: str) -> str:
    done = run(*words, env={**os.environ, **environment}, limit=_TOOL_SECONDS, check=False)
    with _LOG.open("a") as log:
        log.write(done.stderr + done.stdout)
    if done.returncode:
        raise LabError(f"{Path(words[0]).name} {words[-1]} failed ({done.returncode}): see {_LOG}")
    return done.stdout
