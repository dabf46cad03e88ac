"""A real PostgreSQL, one for each process of pytest; each test has a database of its own."""

from __future__ import annotations

import ctypes
import itertools
import os
import pwd
import shutil
import signal
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from waiting import until

from gridcwl.testbed.installing import find_program

PROGRAM = "/usr/lib/postgresql/*/bin/postgres"
USER = "postgres"  # PostgreSQL refuses to run as root
_PR_SET_PDEATHSIG = 1
_SETTINGS = (
    *("fsync=off", "synchronous_commit=off", "full_page_writes=off", "shared_buffers=32MB", "max_connections=200"),
    "listen_addresses=",  # the socket in its folder is enough, and there is no port to be found
)
_libc = ctypes.CDLL(None)
_numbers = itertools.count(1)


class PostgreSQL:
    """A server that is running."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def url(self, database: str = "postgres") -> str:
        """The URL of a database, as ``gridcwl serve --db`` takes it."""
        return f"postgresql://gridcwl@/{database}?host={self.folder}"

    def run(self, *statements: str, database: str = "postgres") -> list[tuple[object, ...]]:
        """Execute statements; the rows of the last one, if it has any."""
        import psycopg

        with psycopg.connect(self.url(database), autocommit=True) as connection:
            for statement in statements:
                cursor = connection.execute(statement.encode())
            return cursor.fetchall() if cursor.description else []

    def program(self, name: str) -> str:
        """A program of the server's version."""
        return str(Path(find_program(PROGRAM) or "").parent / name)


@pytest.fixture(scope="session")
def postgresql() -> Iterator[PostgreSQL]:
    """The server of this process."""
    if find_program(PROGRAM) is None:
        pytest.skip("PostgreSQL is not installed (Debian's package postgresql)")
    # not below pytest's own folder: the server's user may not enter that
    folder = Path(tempfile.mkdtemp(prefix="gridcwl-postgresql-"))
    user = USER if os.geteuid() == 0 else None
    if user is not None:
        os.chown(folder, pwd.getpwnam(user).pw_uid, pwd.getpwnam(user).pw_gid)
    folder.chmod(0o755)
    server = PostgreSQL(folder)
    data, environment = str(folder / "data"), {"PATH": os.environ.get("PATH", os.defpath), "LC_ALL": "C.UTF-8"}
    make = [server.program("initdb"), "-D", data, "-U", "gridcwl", "-A", "trust", "-E", "UTF8", "--no-sync"]
    subprocess.run(
        [*make, "--no-instructions"], check=True, user=user, env=environment, cwd=folder, capture_output=True
    )
    command = [server.program("postgres"), "-D", data, "-k", str(folder)]
    with (folder / "log").open("wb") as log:
        running = subprocess.Popen(
            [*command, *(word for setting in _SETTINGS for word in ("-c", setting))],
            user=user, env=environment, cwd=folder, stdout=log, stderr=log,
            preexec_fn=_end_with_parent,  # noqa: PLW1509  one call of the C library, found before
        )  # fmt: skip
    try:
        until(lambda: _answers(server, running))
        yield server
    finally:
        running.send_signal(signal.SIGINT)  # ends at once, whoever is connected
        running.wait()
        shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture
def postgresql_url(postgresql: PostgreSQL) -> Iterator[str]:
    """The URL of a new, empty database."""
    name = f"test_{next(_numbers)}"
    postgresql.run(f"CREATE DATABASE {name}")
    yield postgresql.url(name)
    postgresql.run(f"DROP DATABASE {name} WITH (FORCE)")


def _answers(server: PostgreSQL, running: subprocess.Popen[bytes]) -> bool:
    import psycopg

    assert running.poll() is None, (server.folder / "log").read_text()
    try:
        return bool(server.run("SELECT 1"))
    except psycopg.OperationalError:
        return False


def _end_with_parent() -> None:
    """In the new process: the kernel ends it if pytest is killed."""
    _libc.prctl(_PR_SET_PDEATHSIG, int(signal.SIGINT))
