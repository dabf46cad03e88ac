"""The testbed's DIRAC as a service: brought up in a quarter of a minute, repaired, taken down."""

from __future__ import annotations

import hashlib
import json
import subprocess
import sys
import sysconfig
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from pathlib import Path

from gridcwl.testbed.dirac import configuration, legacy
from gridcwl.testbed.dirac.database import MariaDb
from gridcwl.testbed.dirac.inside import patches
from gridcwl.testbed.dirac.inside.seed import TABLES_MADE
from gridcwl.testbed.dirac.layout import (
    DATABASE,
    DATABASES,
    LIGHT_PILOT,
    OPTIMIZERS,
    PARAMETERS,
    PROCESSES,
    SANDBOX_STORAGE,
    SERVICES,
    VERSION,
    VO,
    DiracLayout,
    Pilot,
    light_reference,
    pilots,
)
from gridcwl.testbed.dirac.proxies import Proxies
from gridcwl.testbed.dirac.surroundings import Surroundings, write
from gridcwl.testbed.errors import TestbedError
from gridcwl.testbed.installing import environment, system_packages
from gridcwl.testbed.service import InstalledServer, Say, Status
from gridcwl.testbed.sites import SITES
from gridcwl.testbed.waiting import wait_for_port

_UP_WITHIN_S = 90.0
_REQUIREMENTS = (f"DIRAC[server]=={VERSION}",)
# no wheel, and needed only for storage elements of that kind
_OVERRIDES = ("gfal2-python ; sys_platform == 'never'",)


class DiracService(InstalledServer):
    """MariaDB, DIRAC's services, optimizers and pilots, and what a user's client needs to know of them."""

    name = "dirac"

    def _prepare(self) -> None:
        self.database = MariaDb(self._place, self._processes)
        self.proxies = Proxies(self._place, self._authority, self._options.proxy_lifetime)
        self.surroundings = Surroundings(self._place, self._authority)

    # ------------------------------------------------------------------------------------------- the Service protocol

    def install(self, say: Say) -> None:
        """DIRAC in an environment of its own, and MariaDB."""
        if sys.version_info >= (3, 12):
            raise TestbedError(
                f"DIRAC 9.1 needs tornado 5.1, which does not run with Python {sys.version_info.major}."
                f"{sys.version_info.minor}",
                remedy="Run gridcwl with Python 3.11, or leave DIRAC out: --with rucio,xrootd,oidc.",
            )
        self.database.install(say)
        headers = f"{sysconfig.get_path('include')}/Python.h"
        # mysqlclient and M2Crypto have no wheels: they are compiled
        system_packages(
            {
                "git": "git",  # GitPython asks for it when it is imported
                "gcc": "gcc",
                "swig": "swig",
                "pkg-config": "pkg-config",
                "/usr/include/stdio.h": "libc6-dev",
                "/usr/include/openssl/ssl.h": "libssl-dev",
                "/usr/include/mariadb/mysql.h": "libmariadb-dev",
                # a Python that is not Debian's own comes with its headers
                **({headers: "python3-dev"} if headers.startswith("/usr/include/") else {}),
            },
            say=say,
        )
        self.surroundings.environment = environment("dirac", _REQUIREMENTS, overrides=_OVERRIDES, say=say)

    def up(self, say: Say) -> None:
        """Make it answer. Nothing happens to what does; what has other options or certificates is made again."""
        self.install(say)
        self.proxies.renew_if_old()
        box = self.describe()
        # services keep connections to the database, and do not notice for a while that these are dead
        if self._has_changed(box) or not self._processes.alive(DATABASE):
            self._stop_servers()
        self._write(box)
        self._wake()
        if not self.is_whole():
            say("dirac: starting the database")
            self.database.up()
            self.database.load(self._schemas())
            self._start_servers(box, say)
        elif not self._is_seeded(box):
            self.seed(say)
        self._start_pilots(box)

    def down(self) -> None:
        """Stop it; jobs and their sandboxes stay."""
        self._stop_servers()
        self._processes.stop(PARAMETERS)
        self._processes.stop(DATABASE, patience_s=30)

    def status(self) -> list[Status]:
        """Every process."""
        ports = {DATABASE: DATABASE, PARAMETERS: PARAMETERS, **{name: each[0] for name, each in PROCESSES.items()}}
        names = [*ports, OPTIMIZERS, *(pilot.name for pilot in self._wanted_pilots())]
        if self._options.light_pilots:
            names.append(LIGHT_PILOT)
        return [self._status(name, ports.get(name)) for name in names]

    def exports(self) -> dict[str, str]:
        """For DIRAC's client in any environment, as the testbed's user. Jobs are short here: gridcwl asks often."""
        return {**self.surroundings.of_client(self.proxies.user), "GRIDCWL_DIRAC_LONGEST_PAUSE": "1"}

    def seed(self, say: Say) -> None:
        """Sites, storage elements, pilots and the user's proxy: what is missing is made."""
        say("dirac: sites, pilots, the user's proxy")
        self.install(say)
        with self._seeding(self.describe()):
            pass

    # -------------------------------------------------------------------------------------------------- for the tests

    def describe(self) -> DiracLayout:
        """What the configuration is made from."""
        return DiracLayout(
            root=self.surroundings.root,
            ports={
                "database": self.database.port,
                "parameters": self._place.port(PARAMETERS),
                **{service: self._place.port(service) for service in SERVICES},
            },
            subjects=self.proxies.subjects,
            ca_dir=self._authority.ca_dir,
            host_cert=self._authority.host_cert,
            host_key=self._authority.host_key,
            database_password=self.database.password(),
            max_parametric_jobs=self._options.max_parametric_jobs,
            diracx_url=legacy.url(self._place),
            diracx_key=legacy.key(self._place),
            diracx_sandboxes=self._options.diracx_sandboxes,
        )

    def is_whole(self) -> bool:
        """Database, services and optimizers all run."""
        return all(self._processes.alive(name) for name in (DATABASE, PARAMETERS, *PROCESSES, OPTIMIZERS))

    def start(self, name: str) -> None:
        """Start a process of services again, and wait until all of them listen.

        Args:
            name: one of :data:`~gridcwl.testbed.dirac.layout.PROCESSES`.
        """
        self._start_services(name)
        for service in PROCESSES[name]:
            self._wait(service, name)

    # ------------------------------------------------------------------------------------------------------- starting

    def _start_servers(self, box: DiracLayout, say: Say) -> None:
        say("dirac: starting the services and optimizers")
        stand_in = self.surroundings.module("opensearch_stand_in", str(box.ports["parameters"]))
        self._processes.start(PARAMETERS, stand_in, env=self.surroundings.of_server())
        mind, *others = PROCESSES
        self._start_services(mind)
        with nullcontext() if self._is_seeded(box) else self._seeding(box):
            self._wait(PROCESSES[mind][0], mind)
            for name in others:
                self._start_services(name)
            optimizers = self.surroundings.launch(["executor", "WorkloadManagement/Optimizers"])
            self._processes.start(OPTIMIZERS, optimizers, env=self.surroundings.of_server())
            for name in others:
                for service in PROCESSES[name]:
                    self._wait(service, name)

    def _start_services(self, name: str) -> None:
        # one level less than INFO: idle pilots make the Matcher say much
        arguments = ["service", *PROCESSES[name], "-o", "LogLevel=NOTICE"]
        self._processes.start(name, self.surroundings.launch(arguments), env=self.surroundings.of_server())

    def _wait(self, service: str, process: str) -> None:
        wait_for_port(
            self._place.port(service),
            _UP_WITHIN_S,
            log=self._place.log(process),
            given_up=lambda: not self._processes.alive(process),
        )

    @contextmanager
    def _seeding(self, box: DiracLayout) -> Iterator[None]:
        """Begins to fill the databases, is left alone from the moment that their tables are made, and is waited for."""
        seed = self._seed(box)
        self._seeded.unlink(missing_ok=True)
        log = self._place.log("dirac-seed")
        with log.open("wb") as stream:
            seeding = subprocess.Popen(
                self.surroundings.module("seed", str(write(self.surroundings.root / "seed.json", seed))),
                env=self.surroundings.of_server() | {"X509_USER_PROXY": str(self.proxies.user)},
                cwd=self._place.folder("work", "dirac-seed"),
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=stream,
            )
        try:
            assert seeding.stdout is not None
            # DIRAC's own words come the same way
            if not any(line.strip() == TABLES_MADE.encode() for line in seeding.stdout):
                self._seed_failed(log)
            yield
            if seeding.wait(_UP_WITHIN_S):
                self._seed_failed(log)
        finally:
            seeding.kill()
            seeding.communicate()
        write(self._seeded, seed)

    def _seed_failed(self, log: Path) -> None:
        from gridcwl.testbed.errors import tail

        raise TestbedError(f"DIRAC's databases could not be filled; the end of {log}:\n{tail(log)}")

    def _is_seeded(self, box: DiracLayout) -> bool:
        return self._seeded.exists() and self._seeded.read_text() == self._seed(box)

    def _seed(self, box: DiracLayout) -> str:
        """What is to be in the databases: see ``inside/seed.py``."""
        references = [pilot.reference for pilot in self._wanted_pilots()]
        references += [light_reference(slot) for slot in range(self._options.light_pilots)]
        user = self.proxies.user_certificate
        seed = {
            "vo": VO,
            "sites": {site.name: site.banned for site in box.sites},
            "storage": [SANDBOX_STORAGE, *(site.storage for site in box.sites)],
            "pilots": references,
            "certificate": str(user.certificate),
            "key": str(user.key),
            "port": box.ports["Framework/ProxyManager"],
            "patience_s": _UP_WITHIN_S,
        }
        return json.dumps(seed, indent=1)

    def _start_pilots(self, box: DiracLayout) -> None:
        wanted = {pilot.name: pilot for pilot in self._wanted_pilots()}
        for name in self._processes.names():
            if name.startswith("dirac-pilot-") and name not in wanted:
                self._processes.stop(name)
        for pilot in wanted.values():
            self._start_pilot(box, pilot)
        self._start_light_pilot(box)

    def _start_pilot(self, box: DiracLayout, pilot: Pilot) -> None:
        """JobAgents, one after the other, in a folder of their own, as a pilot leaves it on a worker node."""
        if self._processes.alive(pilot.name):
            return
        folder = self._place.folder("work", pilot.name)
        settings = write(folder / "pilot.cfg", configuration.text(configuration.pilot(box, pilot)))
        proxy = self.proxies.for_pilot(folder / "proxy")
        options = ("/DIRAC/Security/UseServerCertificate=no", f"/AgentJobRequirements/ExtraOptions={settings.name}")
        arguments = ["pilots", "WorkloadManagement/JobAgent", "--cfg", settings.name]
        # an idle agent says eight lines a second; what a JobWrapper logs is kept in any case
        for option in (*options, "LogLevel=ERROR"):
            arguments += ["-o", option]
        self._processes.start(
            pilot.name,
            self.surroundings.launch(arguments),
            env=self.surroundings.of_pilot(folder, settings, proxy),
            cwd=folder,
        )

    def _start_light_pilot(self, box: DiracLayout) -> None:
        """With as many slots as are asked for; it ends when there are none."""
        folder = self._place.folder("work", LIGHT_PILOT)
        sites = [site for site in box.sites if not site.banned]
        settings = configuration.shared(box) | {"LocalSite": {"Site": sites[0].name}}
        settings["DIRAC"]["Security"] = {"UseServerCertificate": False, "CALocation": box.ca_dir}
        path = write(folder / "pilot.cfg", configuration.text(settings))
        slots = [
            configuration.local_site(sites[slot % len(sites)], light_reference(slot), light=True)
            for slot in range(self._options.light_pilots)
        ]
        described = folder / "slots.json"
        if not slots or not described.exists() or described.read_text() != json.dumps(slots):
            self._processes.stop(LIGHT_PILOT)
        if not slots or self._processes.alive(LIGHT_PILOT):
            return
        write(described, json.dumps(slots))
        self._processes.start(
            LIGHT_PILOT,
            self.surroundings.module("light_pilot", str(described)),
            env=self.surroundings.of_pilot(folder, path, self.proxies.for_pilot(folder / "proxy")),
            cwd=folder,
        )

    def _wanted_pilots(self) -> list[Pilot]:
        return pilots(SITES, self._options.pilots)

    # --------------------------------------------------------------------------------------------------------- mending

    def _wake(self) -> None:
        """Resume what a test left paused."""
        for name in self._processes.names():
            if name.startswith("dirac-") and self._processes.alive(name):
                self._processes.resume(name)

    def _stop_servers(self) -> None:
        """All but the database: pilots first, so that no job is matched by one that is about to end."""
        running = [name for name in self._processes.names() if name.startswith(("dirac-pilot-", LIGHT_PILOT))]
        for name in (*running, OPTIMIZERS, *reversed(PROCESSES)):
            self._processes.stop(name, patience_s=5)

    def _has_changed(self, box: DiracLayout) -> bool:
        """The servers that run were started for another description."""
        parts = [configuration.text(configuration.server(box)).encode(), box.host_cert.read_bytes()]
        parts.append(self.proxies.user_certificate.certificate.read_bytes())
        parts.append(repr(self.surroundings.environment).encode())
        digest = hashlib.sha256(b"\0".join(parts)).hexdigest()
        path = self.surroundings.root / "started-for"
        known = path.read_text() if path.exists() else None
        write(path, digest)
        if known == digest:
            return False
        self._seeded.unlink(missing_ok=True)
        return True

    @property
    def _seeded(self) -> Path:
        """What was put into the databases."""
        return self.database.stamps / "seeded"

    def _write(self, box: DiracLayout) -> None:
        etc = self.surroundings.root / "etc"
        etc.mkdir(mode=0o700, exist_ok=True)
        write(self.surroundings.server_settings, configuration.text(configuration.server(box)))
        write(self.surroundings.client_settings, configuration.text(configuration.client(box)))
        # what the Configuration server serves: <root>/etc/<name>.cfg
        write(etc / "testbed.cfg", configuration.text(configuration.shared(box)))
        stock = self.surroundings.package / "WorkloadManagementSystem/JobWrapper/JobWrapperTemplate.py"
        template = patches.wrapper_template(stock.read_text(), str(self.surroundings.library))
        write(box.root / "JobWrapperTemplate.py", template)

    def _schemas(self) -> dict[str, list[Path]]:
        return {name: sorted(self.surroundings.package.glob(f"*/DB/{name}.sql")) for name in DATABASES}

    def _status(self, name: str, port: str | None) -> Status:
        listens = self._place.known_port(port) if port else None
        return self._processes.status(name, ", ".join(PROCESSES.get(name, ())), listens)
