"""DiracX in front of the classic DIRAC: a REST interface to the same jobs, which classic pilots run.

As production does it while it migrates: one JobDB, two front doors. There is no identity provider: tokens come by the
exchange that classic DIRAC uses for users whom it knows by their proxies.
"""

from __future__ import annotations

import base64
import hashlib
import json
import os
import shutil
import subprocess
import urllib.error
import urllib.request
from pathlib import Path

from gridcwl.testbed.dirac import legacy
from gridcwl.testbed.dirac.database import MariaDb
from gridcwl.testbed.dirac.layout import SANDBOX_STORAGE, USER, USER_GROUP, USER_PROPERTIES, VO
from gridcwl.testbed.dirac.surroundings import Surroundings
from gridcwl.testbed.errors import TestbedError
from gridcwl.testbed.installing import environment, system_packages
from gridcwl.testbed.pki import Authority
from gridcwl.testbed.place import InstallFolder
from gridcwl.testbed.processes import StartedProcesses
from gridcwl.testbed.secrets import secret
from gridcwl.testbed.service import InstallOptions, Say, Status
from gridcwl.testbed.waiting import wait_for, wait_for_port

VERSION = "0.7.0"
_PARTS = ("routers", "cli", "logic", "db", "testing")
_REQUIREMENTS = (*(f"diracx-{part}=={VERSION}" for part in _PARTS), "aiomysql", "moto[server]", "uvicorn")
_CLASSIC = ("JobDB", "JobLoggingDB", "TaskQueueDB", "SandboxMetadataDB", "PilotAgentsDB", "ResourceStatusDB")
_OWN = ("AuthDB", "TaskDB", "TransformationDB")
_SERVER, _STORAGE = legacy.PORT, "diracx-s3-stand-in"
_UP_WITHIN_S = 90.0


class DiracXService:
    """DiracX's routers under uvicorn, and moto where an S3 storage would hold sandboxes."""

    name = "diracx"

    def __init__(
        self, place: InstallFolder, processes: StartedProcesses, authority: Authority, options: InstallOptions
    ) -> None:
        del options
        self._place = place
        self._processes = processes
        self._database = MariaDb(place, processes)
        self._surroundings = Surroundings(place, authority)

    @property
    def url(self) -> str:
        """Where it answers."""
        return legacy.url(self._place)

    @property
    def credentials(self) -> Path:
        """The user's tokens, as DiracX's client keeps them."""
        return self._place.folder("diracx") / "credentials.json"

    def token(self) -> str:
        """The user's access token."""
        read: dict[str, str] = json.loads(self.credentials.read_text())
        return read["access_token"]

    def install(self, say: Say) -> None:
        """DiracX in an environment of its own."""
        system_packages({"git": "git"}, say=say)
        self._surroundings.environment = environment("diracx", _REQUIREMENTS, say=say)

    def up(self, say: Say) -> None:
        """Make it answer; the classic DIRAC has to be up."""
        self.install(say)
        self._prepare(say)
        for name in (_SERVER, _STORAGE):
            if self._processes.alive(name):
                self._processes.resume(name)
        if not (self._processes.alive(_SERVER) and self._processes.alive(_STORAGE)):
            say("diracx: starting")
        self._start()
        self._log_in()

    def down(self) -> None:
        """Stop it."""
        for name in (_SERVER, _STORAGE):
            self._processes.stop(name)

    def status(self) -> list[Status]:
        """Both processes."""
        details = {_SERVER: "DiracX", _STORAGE: "moto, for sandboxes"}
        return [self._processes.status(name, detail, self._place.known_port(name)) for name, detail in details.items()]

    def exports(self) -> dict[str, str]:
        """For DiracX's client and command line."""
        return {"DIRACX_URL": self.url, "DIRACX_CREDENTIALS_PATH": str(self.credentials)}

    def _prepare(self, say: Say) -> None:
        made = self._place.folder("diracx") / "state"
        if (made / "complete").exists():
            return
        say("diracx: keys and configuration")
        shutil.rmtree(made, ignore_errors=True)
        made.mkdir(mode=0o700)
        self._run("prepare", str(made), VO, USER_GROUP, USER, *USER_PROPERTIES)
        (made / "complete").touch()

    def _start(self) -> None:
        python = str(self._surroundings.python)
        storage = self._place.port(_STORAGE)
        command = [python, "-m", "moto.server", "-H", "127.0.0.1", "-p", str(storage)]
        self._processes.start(_STORAGE, command, env=self._environment())
        wait_for_port(storage, _UP_WITHIN_S, log=self._place.log(_STORAGE), given_up=lambda: self._is_dead(_STORAGE))
        app = "gridcwl.testbed.dirac.inside.diracx_app:create_app"
        where = ["--host", "127.0.0.1", "--port", str(self._place.port(_SERVER))]
        command = [python, "-m", "uvicorn", "--factory", app, *where, "--no-access-log"]
        self._processes.start(_SERVER, command, env=self._environment() | self._settings())
        log = self._place.log(_SERVER)
        wait_for(self._is_ready, "DiracX", _UP_WITHIN_S, log=log, given_up=lambda: self._is_dead(_SERVER))

    def _is_dead(self, name: str) -> bool:
        return not self._processes.alive(name)

    def _is_ready(self) -> bool:
        try:
            with urllib.request.urlopen(f"{self.url}/api/health/ready", timeout=5) as answer:  # noqa: S310
                return bool(answer.status == 200)
        except (OSError, urllib.error.HTTPError):
            return False

    def _log_in(self) -> None:
        scope = f"vo:{VO} group:{USER_GROUP} property:NormalUser"
        self._run("token", self.url, scope, USER, str(self.credentials), given=legacy.key(self._place))

    def _settings(self) -> dict[str, str]:
        """What configures DiracX: its own databases are SQLite files, those of jobs the classic ones."""
        state = self._place.folder("diracx") / "state"
        storage = f"http://localhost:{self._place.port(_STORAGE)}"
        access = {"endpoint_url": storage, "aws_access_key_id": "none", "aws_secret_access_key": "none"}
        account = f"Dirac:{self._database.password()}@127.0.0.1:{self._database.port}"
        urls = {f"DIRACX_DB_URL_{name.upper()}": f"mysql+aiomysql://{account}/{name}" for name in _CLASSIC}
        urls |= {f"DIRACX_DB_URL_{name.upper()}": f"sqlite+aiosqlite:///{state}/{name}.db" for name in _OWN}
        parameters = json.dumps({"sqlalchemy_dsn": f"sqlite+aiosqlite:///{state}/JobParametersDB.db"})
        return {
            **urls,
            "DIRACX_OS_DB_JOBPARAMETERSDB": parameters,
            "DIRACX_CONFIG_BACKEND_URL": f"git+file://{state}/cs/initialRepo",
            "DIRACX_LEGACY_EXCHANGE_HASHED_API_KEY": hashlib.sha256(legacy.exchange(self._place)).hexdigest(),
            "DIRACX_SERVICE_AUTH_TOKEN_KEYSTORE": f"file://{state}/jwks.json",
            "DIRACX_SERVICE_AUTH_STATE_KEY": _fernet_key(secret(self._place, "diracx-state")),
            "DIRACX_SERVICE_AUTH_TOKEN_ISSUER": self.url,
            "DIRACX_SERVICE_AUTH_ALLOWED_REDIRECTS": json.dumps([f"{self.url}/docs/oauth2-redirect"]),
            "DIRACX_SANDBOX_STORE_BUCKET_NAME": "sandboxes",
            "DIRACX_SANDBOX_STORE_SE_NAME": SANDBOX_STORAGE,
            "DIRACX_SANDBOX_STORE_AUTO_CREATE_BUCKET": "true",
            "DIRACX_SANDBOX_STORE_S3_CLIENT_KWARGS": json.dumps(access),
        }

    def _environment(self) -> dict[str, str]:
        kept = {name: value for name, value in os.environ.items() if not name.startswith(("DIRACX_", "PYTHON"))}
        home = str(self._place.folder("diracx", "home"))
        git = {"GIT_AUTHOR_NAME": "testbed", "GIT_AUTHOR_EMAIL": "testbed@localhost"}
        git |= {"GIT_COMMITTER_NAME": "testbed", "GIT_COMMITTER_EMAIL": "testbed@localhost"}
        return {**kept, **git, "HOME": home, "PYTHONPATH": str(self._surroundings.library)}

    def _run(self, *arguments: str, given: str = "") -> None:
        ended = subprocess.run(
            self._surroundings.module("diracx_tools", *arguments),
            env=self._environment(),
            input=given,
            capture_output=True,
            text=True,
            check=False,
        )
        if ended.returncode:
            raise TestbedError(f"DiracX: {arguments[0]} failed:\n{(ended.stdout + ended.stderr).strip()[-2000:]}")


def _fernet_key(text: str) -> str:
    """32 bytes in base64."""
    return base64.urlsafe_b64encode(hashlib.sha256(text.encode()).digest()).decode()
