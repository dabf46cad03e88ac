"""A PostgreSQL server in the testbed's folder, for Rucio."""

from __future__ import annotations

import os
import pwd
import signal
import subprocess
from pathlib import Path
from urllib.parse import quote

from gridcwl.testbed.errors import TestbedError
from gridcwl.testbed.installing import find_program, system_packages
from gridcwl.testbed.place import InstallFolder
from gridcwl.testbed.processes import StartedProcesses
from gridcwl.testbed.secrets import secret
from gridcwl.testbed.service import Say
from gridcwl.testbed.waiting import listens, wait_for

NAME = "postgresql"
_PROGRAMS = "/usr/lib/postgresql/*/bin/postgres"
_USER = "postgres"
_DATABASE = "rucio"

# What a crash of this machine does to a testbed does not matter; how long its tests take does.
_SETTINGS = {
    "fsync": "off",
    "synchronous_commit": "off",
    "full_page_writes": "off",
    "max_connections": "100",
    "shared_buffers": "64MB",
    "listen_addresses": "127.0.0.1",
    "unix_socket_directories": "",
}


class Postgres:
    """As the user ``postgres`` if this is root: it refuses to run as root."""

    def __init__(self, place: InstallFolder, processes: StartedProcesses) -> None:
        self._place = place
        self._processes = processes

    def install(self, say: Say) -> None:
        """Debian's package."""
        system_packages({_PROGRAMS: "postgresql"}, say=say)

    def url(self, database: str = _DATABASE, driver: str = "postgresql+psycopg") -> str:
        """The database's URL, with the password."""
        password = quote(secret(self._place, "postgresql"), safe="")
        return f"{driver}://rucio:{password}@127.0.0.1:{self._place.port(NAME)}/{database}"

    def up(self, say: Say) -> None:
        """Start it, if it does not answer."""
        port = self._place.port(NAME)
        if self._processes.alive(NAME) and listens(port):
            return
        self._processes.stop(NAME)
        programs = Path(find_program(_PROGRAMS) or "").parent
        say(f"{NAME}: starting PostgreSQL on port {port}")
        data = self._data(programs)
        (data / "postmaster.pid").unlink(missing_ok=True)  # it is not alive: processes.stop has seen to that
        command = [str(programs / "postgres"), "-D", str(data), "-p", str(port)]
        for name, value in _SETTINGS.items():
            command += ["-c", f"{name}={value}"]
        env = {"PATH": os.environ.get("PATH", os.defpath), "LC_ALL": "C.UTF-8", "PGDATA": str(data)}
        # SIGINT is its "fast" end: SIGTERM waits for every client to go
        self._processes.start(NAME, command, env=env, cwd=data, user=_USER, stop_signal=signal.SIGINT)
        wait_for(
            lambda: self._accepts(programs, port),
            "PostgreSQL",
            60,
            log=self._place.log(NAME),
            given_up=lambda: not self._processes.alive(NAME),
        )

    def _accepts(self, programs: Path, port: int) -> bool:
        command = [str(programs / "pg_isready"), "-q", "-h", "127.0.0.1", "-p", str(port)]
        return subprocess.run(command, check=False).returncode == 0

    def _data(self, programs: Path) -> Path:
        """The data folder, made if it is not there or only half made."""
        home = self._place.folder(NAME)
        user = _USER if os.geteuid() == 0 else None
        if user:
            os.chown(home, pwd.getpwnam(user).pw_uid, pwd.getpwnam(user).pw_gid)
        data = home / "data"
        if (home / "initialized").exists():
            return data
        password = home / "password"
        password.touch(mode=0o600)
        password.write_text(secret(self._place, NAME))
        if user:
            os.chown(password, pwd.getpwnam(user).pw_uid, pwd.getpwnam(user).pw_gid)
        subprocess.run(["rm", "-rf", str(data)], check=True)
        made = subprocess.run(
            [
                str(programs / "initdb"), "-D", str(data), "-U", "rucio", "-A", "scram-sha-256",
                f"--pwfile={password}", "-E", "UTF8", "--locale=C.UTF-8", "--no-sync", "--no-instructions",
            ],
            user=user,
            cwd=home,
            env={"PATH": os.environ.get("PATH", os.defpath)},
            capture_output=True,
            text=True,
            check=False,
        )  # fmt: skip
        if made.returncode:
            raise TestbedError(
                f"PostgreSQL's initdb failed in {data}:\n{made.stderr.strip()}",
                remedy=f"The user {user} must be able to pass through {self._place.root}." if user else "",
            )
        password.unlink()
        (home / "initialized").touch()
        return data
