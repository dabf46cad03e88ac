"""The testbed's Rucio: database, memcached, server and contents, as one service."""

from __future__ import annotations

import hashlib
import json
import os
import ssl
import subprocess
import urllib.request
from pathlib import Path
from typing import Any

from gridcwl.testbed.errors import TestbedError
from gridcwl.testbed.installing import find_program, system_packages
from gridcwl.testbed.oidc.service import CLIENT, issuer_url
from gridcwl.testbed.rucio import environment
from gridcwl.testbed.rucio.clients import Clients
from gridcwl.testbed.rucio.configuration import ServerSettings, alembic_text, server_text
from gridcwl.testbed.rucio.contents import ACCOUNTS, contents
from gridcwl.testbed.rucio.postgres import NAME as POSTGRES
from gridcwl.testbed.rucio.postgres import Postgres
from gridcwl.testbed.secrets import secret
from gridcwl.testbed.service import InstalledServer, Say, Status
from gridcwl.testbed.sites import SITES
from gridcwl.testbed.waiting import wait_for
from gridcwl.testbed.xrootd import XrootdService

TRANSFER_TOOL = "testbed"
_SERVER = Path(__file__).parent / "server"
_DAEMONS = "rucio-daemons"
_MEMCACHED = "memcached"


class RucioService(InstalledServer):
    """Rucio's server over https: passwords, certificates, proxies and tokens are taken."""

    name = "rucio"

    def _prepare(self) -> None:
        parts = (self._place, self._processes, self._authority, self._options)
        self._postgres = Postgres(*parts[:2]) if self._options.database == "postgresql" else None
        self._xrootd = XrootdService(*parts) if "xrootd" in self._options.services else None
        self.clients = Clients(self._place, self._authority, self._options)

    @property
    def url(self) -> str:
        """The server."""
        return self.clients.url

    @property
    def python(self) -> Path:
        """The interpreter of Rucio's own environment, where its client's modules are, too."""
        return self._environment(lambda _text: None) / "bin" / "python"

    def valid_name(self, name: str) -> str:
        """A name that the policy takes, made of a plain one."""
        return f"/testbed/user/r/runner/{name}" if self._options.policy == "ctao" else name

    @property
    def has_davs(self) -> bool:
        """There is an XRootD."""
        return self._xrootd is not None

    @property
    def davs_scheme(self) -> str:
        """How Rucio's client speaks to it here: davs where there is gfal2 for this Python, https otherwise."""
        made = self._environment(lambda _text: None)
        return "davs" if any(environment.package_folder(made).glob("gfal2*.so")) else "https"

    def storage(self, name: str) -> Path:
        """The folder with the bytes of this storage element."""
        if self._xrootd and any(site.storage == name and site.protocol == "davs" for site in SITES):
            return self._xrootd.storage
        return self._place.root / "storage" / name

    def path(self, storage: str, scope: str, name: str) -> Path:
        """Where a file's bytes are, or would be, on this storage element.

        With the algorithm ``hash`` (rucio/rse/translation.py), below the scope with its dots as folders and two levels
        of the DID's MD5; with CTAO's policy, where the name says.
        """
        if self._options.policy == "ctao":
            return self.storage(storage) / name.lstrip("/")
        digest = hashlib.md5(f"{scope}:{name}".encode(), usedforsecurity=False).hexdigest()
        return self.storage(storage).joinpath(*scope.split("."), digest[:2], digest[2:4], name)

    def install(self, say: Say) -> None:
        """Its environment; PostgreSQL and memcached by Debian's packages."""
        self._environment(say)
        if self._postgres:
            self._postgres.install(say)
        if os.geteuid() == 0:
            system_packages({_MEMCACHED: _MEMCACHED}, say=say)

    def up(self, say: Say) -> None:
        """Start what does not answer; the contents are looked after when they were never or the options changed."""
        if self._postgres:
            self._postgres.up(say)
        if self._start_memcached(say):
            # its threads have connections to the one that was there before, and each would fail once
            self._processes.stop(self.name)
        wanted = json.dumps(self._contents(), sort_keys=True)
        kept = self._home / "contents.json"
        if not kept.exists() or kept.read_text() != wanted:
            self._configure()
            self.seed(say)
            kept.touch(mode=0o600)
            kept.write_text(wanted)
        if not self._answers():
            self._processes.stop(self.name)
            self._configure()
            self._start(say)
        for account in ACCOUNTS:
            self.clients.configuration(account.name)

    def seed(self, say: Say) -> None:
        """Put in place what is missing of accounts, scopes, storage elements, distances and quotas."""
        say(f"{self.name}: making accounts, scopes and storage elements")
        for site in SITES:
            if site.protocol == "posix":
                self._place.folder("storage").chmod(0o755)
                self._place.folder("storage", site.storage).chmod(0o755)
        given = self._contents()
        if self._postgres:
            given |= {"create_database": self._postgres.url("postgres", "postgresql"), "database": "rucio"}
        self._run("fill.py", given=json.dumps(given))

    def down(self) -> None:
        """Stop all of it, the database last."""
        for name in (_DAEMONS, self.name, _MEMCACHED, POSTGRES):
            self._processes.stop(name)

    def status(self) -> list[Status]:
        """How server, database and the rest stand."""
        port = self._place.known_port
        found = [self._processes.status(self.name, self.url, port("rucio"))]
        if self._postgres:
            found.append(self._processes.status(POSTGRES, "Rucio's database", port(POSTGRES)))
        for name, about in ((_MEMCACHED, "Rucio's cache"), (_DAEMONS, "transfers, rules, deletion")):
            if name in self._processes.names():
                found.append(self._processes.status(name, about, port(name)))
        return found

    def exports(self) -> dict[str, str]:
        """For the account ``runner``."""
        return self.clients.exports("runner")

    def run_daemons(self) -> str:
        """Run every daemon once, in order: rules, transfers, deletions; returns their output.

        Raises:
            TestbedError: one of them failed.
        """
        return self._run("daemons.py")

    def start_daemons(self, every_s: float, say: Say) -> None:
        """Run the daemons again and again, with such a pause, until the testbed goes down."""
        say(f"{_DAEMONS}: running every {every_s:g} s")
        command = [str(self.python), str(_SERVER / "daemons.py"), "--loop", str(every_s)]
        self._processes.start(_DAEMONS, command, env=self._env())

    def stop_daemons(self) -> None:
        """End that."""
        self._processes.stop(_DAEMONS)

    def run_client(self, code: str, *arguments: str, account: str = "runner") -> str:
        """Run a piece of Python with Rucio's own client, as this account; returns its stdout.

        Raises:
            TestbedError: it ended with an error.
        """
        env = {**self._env(), **self.clients.exports(account)}
        return self._python([str(self.python), "-c", code, *arguments], env, None)

    # ---- inside

    @property
    def _home(self) -> Path:
        return self._place.folder("rucio")

    def _environment(self, say: Say) -> Path:
        return environment.server_environment(self._options.policy, davs=self._xrootd is not None, say=say)

    def _settings(self) -> ServerSettings:
        with_cache = find_program(_MEMCACHED) is not None
        return ServerSettings(
            home=self._home,
            url=self.url,
            database=self._postgres.url() if self._postgres else f"sqlite:///{self._home}/rucio.db",
            policy=self._options.policy,
            transfer_tool=TRANSFER_TOOL,
            memcached=f"127.0.0.1:{self._place.port(_MEMCACHED)}" if with_cache else None,
            issuer_secrets=self._home / "idpsecrets.json" if self._with_tokens else None,
        )

    @property
    def _with_tokens(self) -> bool:
        return "oidc" in self._options.services

    def _configure(self) -> None:
        settings = self._settings()
        package = environment.package_folder(self._environment(lambda _text: None)) / "rucio"
        self._place.folder("rucio", "log", "trace")
        texts = {"rucio.cfg": server_text(settings), "alembic.ini": alembic_text(settings, package)}
        if self._with_tokens:
            texts["idpsecrets.json"] = json.dumps(self._issuer_secrets())
        for name, text in texts.items():
            (self._home / name).touch(mode=0o600)
            (self._home / name).write_text(text)

    def _issuer_secrets(self) -> dict[str, Any]:
        client = {
            "client_id": CLIENT,
            "client_secret": secret(self._place, "oidc-client"),
            "issuer": issuer_url(self._place),
            "redirect_uris": [f"{self.url}/auth/oidc_code", f"{self.url}/auth/oidc_token"],
        }
        return {"testbed": {**client, "SCIM": client}}

    def _contents(self) -> dict[str, Any]:
        return contents(
            SITES,
            {account.name: secret(self._place, f"rucio-{account.name}") for account in ACCOUNTS},
            issuer=issuer_url(self._place) if self._with_tokens else None,
            posix=self._place.root / "storage",
            davs=self._xrootd.url if self._xrootd else None,
            transfer_tool=TRANSFER_TOOL,
        )

    def _env(self) -> dict[str, str]:
        """The environment of the server's processes; nothing of the user's own Rucio."""
        kept = {name: os.environ[name] for name in ("PATH", "LANG", "TZ", "TMPDIR") if name in os.environ}
        host = self._authority.host
        return {
            **kept,
            "HOME": str(self._home),
            "RUCIO_HOME": str(self._home),
            "RUCIO_CONFIG": str(self._home / "rucio.cfg"),
            "RUCIO_MERGE_SLASHES": "1" if self._options.policy == "ctao" else "0",
            "REQUESTS_CA_BUNDLE": str(self._authority.ca_certificate),
            "X509_CERT_DIR": str(self._authority.ca_dir),
            "X509_USER_CERT": str(host.certificate),
            "X509_USER_KEY": str(host.key),
            "X509_USER_PROXY": str(self.clients.proxy("runner")),
        }

    def _start_memcached(self, say: Say) -> bool:
        """Optional; without it every replica that is listed costs the database a query. Whether it was started now."""
        program = find_program(_MEMCACHED)
        if program is None or self._processes.alive(_MEMCACHED):
            return False
        say(f"{_MEMCACHED}: starting")
        command = [program, "-l", "127.0.0.1", "-p", str(self._place.port(_MEMCACHED)), "-m", "64"]
        env = {"PATH": os.environ.get("PATH", os.defpath)}
        self._processes.start(_MEMCACHED, command, env=env, user="nobody", cwd=Path("/"))
        return True

    def _start(self, say: Say) -> None:
        say(f"{self.name}: starting Rucio {environment.VERSION}, {self.url}")
        host = self._authority.host
        # One process: a second costs as long a start again, and forks of one that is loaded would share connections.
        # SQLite has one writer at a time, and tells the others that it is locked.
        size = ["--workers", "1", "--threads", "8" if self._postgres else "1"]
        command = [
            str(self.python), "-m", "gunicorn", "wsgi:application", "--pythonpath", str(_SERVER),
            "--config", str(_SERVER / "gunicorn_conf.py"), "--bind", f"127.0.0.1:{self._place.port('rucio')}", *size,
            "--worker-class", "gthread", "--keep-alive", "30", "--timeout", "300", "--limit-request-line", "8190",
            "--no-control-socket", "--certfile", str(host.certificate), "--keyfile", str(host.key),
            "--ca-certs", str(self._authority.ca_certificate), "--cert-reqs", str(int(ssl.CERT_OPTIONAL)),
        ]  # fmt: skip
        self._processes.start(self.name, command, env=self._env())
        wait_for(
            self._answers,
            "Rucio",
            60,
            log=self._place.log(self.name),
            given_up=lambda: not self._processes.alive(self.name),
        )

    def _answers(self) -> bool:
        if not self._processes.alive(self.name):
            return False
        context = ssl.create_default_context(cafile=self._authority.ca_certificate)
        try:
            with urllib.request.urlopen(f"{self.url}/ping", context=context, timeout=10) as answer:  # noqa: S310
                return bool(answer.status == 200)
        except OSError:
            return False

    def _run(self, script: str, *, given: str | None = None) -> str:
        return self._python([str(self.python), str(_SERVER / script)], self._env(), given)

    def _python(self, command: list[str], env: dict[str, str], given: str | None) -> str:
        ended = subprocess.run(command, env=env, input=given or "", capture_output=True, text=True, check=False)
        with self._place.log("rucio-scripts").open("a") as log:
            log.write(f"{command[1]}\n{ended.stdout}{ended.stderr}")
        if ended.returncode:
            tail = "\n".join((ended.stdout + ended.stderr).strip().splitlines()[-15:])
            raise TestbedError(f"{Path(command[1]).name} failed in Rucio's environment:\n{tail}")
        return ended.stdout
