"""DIRAC's databases: a MariaDB of the testbed's own, in its folder and on loopback."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Iterable, Mapping
from pathlib import Path

from gridcwl.testbed.dirac.layout import DATABASE
from gridcwl.testbed.errors import TestbedError
from gridcwl.testbed.installing import find_program, system_packages
from gridcwl.testbed.place import InstallFolder
from gridcwl.testbed.processes import StartedProcesses
from gridcwl.testbed.secrets import secret
from gridcwl.testbed.service import Say
from gridcwl.testbed.waiting import wait_for

_UP_WITHIN_S = 60.0
# Relative to the data directory, where server and client both run: a socket's path has room for 107 characters.
_SOCKET = "socket"
_USER = "Dirac"


class MariaDb:
    """MariaDB, reached by DIRAC with a password over loopback, and by its owner over a socket."""

    def __init__(self, place: InstallFolder, processes: StartedProcesses) -> None:
        self._place = place
        self._processes = processes

    @property
    def port(self) -> int:
        """On loopback."""
        return self._place.port(DATABASE)

    @property
    def _data(self) -> Path:
        return self._place.folder("dirac", "database") / "data"

    def install(self, say: Say) -> None:
        """Debian's package, if it is missing."""
        system_packages({"mariadbd": "mariadb-server", "mariadb-install-db": "mariadb-server"}, say=say)

    def password(self) -> str:
        """DIRAC's, made up once."""
        return secret(self._place, "dirac-database")

    def up(self) -> None:
        """Answer; with an empty database when there is none."""
        if not (self._data / "mysql").exists():
            self._make()
        if not self._processes.alive(DATABASE):
            self._start()
        wait_for(
            self._answers,
            "MariaDB",
            _UP_WITHIN_S,
            log=self._place.log(DATABASE),
            given_up=lambda: not self._processes.alive(DATABASE),
        )

    def load(self, schemas: Mapping[str, Iterable[Path]]) -> None:
        """Make the databases that are not there, each from its SQL files."""
        for name, files in schemas.items():
            if (self.stamps / name).exists():
                continue
            statements = "".join(path.read_text() for path in files)
            # one that was half made is made again
            self._ask(f"DROP DATABASE IF EXISTS `{name}`;\nCREATE DATABASE `{name}`;\nUSE `{name}`;\n{statements}")
            (self.stamps / name).touch()

    @property
    def stamps(self) -> Path:
        """A folder for files that say what is in the databases: it goes when they go."""
        return self._place.folder("dirac", "database", "whole")

    def _make(self) -> None:
        shutil.rmtree(self.stamps)
        shutil.rmtree(self._data, ignore_errors=True)
        made = self._data.with_suffix(".new")
        shutil.rmtree(made, ignore_errors=True)
        program = find_program("mariadb-install-db")
        assert program is not None, "install comes first"
        user = _this_user()
        command = [
            program,
            "--no-defaults",
            f"--datadir={made}",
            f"--user={user}",
            "--auth-root-authentication-method=socket",
            f"--auth-root-socket-user={user}",
            "--skip-test-db",
        ]
        ended = subprocess.run(command, capture_output=True, text=True, check=False)
        if ended.returncode:
            raise TestbedError(f"MariaDB's files could not be made:\n{(ended.stdout + ended.stderr)[-2000:]}")
        made.rename(self._data)

    def _start(self) -> None:
        program = find_program("mariadbd")
        assert program is not None, "install comes first"
        options = [
            "--no-defaults",
            f"--datadir={self._data}",
            f"--user={_this_user()}",
            f"--socket={_SOCKET}",
            f"--pid-file={self._data / 'pid'}",
            f"--port={self.port}",
            "--bind-address=127.0.0.1",
            "--skip-name-resolve",
            "--max-connections=500",
            f"--init-file={self._init_file()}",
            # a testbed need not outlive a power cut
            "--skip-log-bin",
            "--innodb-flush-log-at-trx-commit=0",
            "--innodb-doublewrite=0",
            "--innodb-log-file-size=32M",
        ]
        self._processes.start(DATABASE, [program, *options], env=dict(os.environ), cwd=self._data)

    def _init_file(self) -> Path:
        """What the server does first whenever it starts: the password is in nobody's command line."""
        path = self._place.folder("dirac", "database") / "init.sql"
        statements = (
            f"CREATE USER IF NOT EXISTS '{_USER}'@'127.0.0.1';",
            f"ALTER USER '{_USER}'@'127.0.0.1' IDENTIFIED BY '{self.password()}';",
            f"GRANT ALL ON *.* TO '{_USER}'@'127.0.0.1';",
        )
        path.touch(mode=0o600)
        path.write_text("\n".join(statements) + "\n")  # one statement a line is all it understands
        return path

    def _answers(self) -> bool:
        try:
            self._ask("SELECT 1")
        except TestbedError:
            return False
        return True

    def _ask(self, sql: str) -> str:
        command = ["mariadb", "--no-defaults", f"--socket=./{_SOCKET}", "--skip-column-names", "--batch"]
        ended = subprocess.run(command, cwd=self._data, input=sql, capture_output=True, text=True, check=False)
        if ended.returncode:
            raise TestbedError(f"MariaDB refused: {ended.stderr.strip()[-1000:]}")
        return ended.stdout


def _this_user() -> str:
    import pwd

    return pwd.getpwuid(os.geteuid()).pw_name
