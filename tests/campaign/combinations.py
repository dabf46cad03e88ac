"""Backends and stores: the command line's options for each pair, and the servers that it needs."""

from __future__ import annotations

import contextlib
import json
import os
import re
import shutil
import socket
import subprocess
import time
import zlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit

from campaign.clients import until
from campaign.documents import Witness
from campaign.fakes import FaultyServer
from campaign.scene import Process
from campaign.witness import WitnessServer

BACKENDS = ("bare", "docker", "podman", "dask", "pool", "dirac", "diracx")
STORES = ("local", "rucio")
ELEMENT = "LYON-DISK"


@dataclass
class Place:
    """A backend and a store, with what they need; made by :func:`opened`.

    Attributes:
        words: options of the command line.
        environment: of the client.
        servers: fakes whose answers can be disturbed, by name.
        outlives: jobs run on when their client is gone.
        engine: docker or podman, if tools are in containers.
    """

    backend: str
    store: str
    words: tuple[str, ...] = ()
    environment: dict[str, str] = field(default_factory=dict)
    connect: tuple[str, Mapping[str, str]] | None = None
    servers: dict[str, FaultyServer] = field(default_factory=dict)
    outlives: bool = False
    engine: str = ""
    dirac: Any = None
    rucio: Any = None
    cluster: Any = None
    nodes: Any = None
    pool: Any = None
    pools: Path | None = None
    """The folder in which the pool is recorded; each trial's state folder has a link to it."""
    port: WitnessServer | None = None

    @property
    def name(self) -> str:
        return f"{self.backend} + {self.store}"

    def witness(self, file: Path) -> Witness:
        """Where tools leave their marks."""
        if self.port is None:
            return Witness(file)
        self.port.file = file
        return Witness(file, self.port.host, self.port.port)

    def settle(self, patience_s: float = 60.0) -> None:
        """Wait until jobs that outlive their client have ended, where that can be seen."""
        end = time.monotonic() + patience_s
        while time.monotonic() < end and self.dirac is not None:
            if all(job.status in ("Done", "Failed", "Killed", "Submitting") for job in list(self.dirac.jobs.values())):
                return
            time.sleep(0.02)

    def read(self, location: str) -> bytes:
        """The bytes of an output."""
        url = urlsplit(location)
        if url.scheme == "file":
            return Path(unquote(url.path)).read_bytes()
        assert self.rucio is not None, location
        scope, _, name = unquote(location.removeprefix("rucio://")).partition("/")
        did = self.rucio.catalogue.dids[scope, name]
        (element,) = [one for one, state in did.replicas.items() if state == "AVAILABLE"]
        return bytes(self.rucio.path(element, scope, name).read_bytes())

    def pilots(self) -> list[Process]:
        """The processes of one of the jobs that run at sites of the fake DIRAC."""
        folders: dict[str, list[Process]] = {}
        for place in Path("/proc").glob("[0-9]*"):
            with contextlib.suppress(OSError):
                job = re.search(r"/in-memory-dirac-\w+", str((place / "cwd").readlink()))
                if job:
                    folders.setdefault(job[0], []).append(Process(int(place.name), "pilot"))
        return next(iter(folders.values()), [])

    def ask(self, action: str, container: str) -> bool:
        """Do something to a container: kill, pause, unpause."""
        return not subprocess.run([self.engine, action, container], check=False, capture_output=True).returncode

    def containers(self) -> list[str]:
        """All containers of gridcwl's, running or not."""
        if not self.engine:
            return []
        words = [self.engine, "ps", "--all", "--quiet", "--filter", "label=gridcwl.run"]
        return subprocess.run(words, check=False, capture_output=True, text=True).stdout.split()

    def catalogue_violations(self) -> list[str]:
        """Replicas that are not what the catalogue says, and files that it does not know."""
        if self.rucio is None:
            return []
        found, known = [], set()
        for did in list(self.rucio.catalogue.dids.values()):
            for element, state in did.replicas.items():
                file = self.rucio.path(element, *did.key)
                known.add(file)
                if state != "AVAILABLE":
                    continue
                data = file.read_bytes() if file.exists() else None
                if data is None or (len(data), f"{zlib.adler32(data):08x}") != (did.bytes, did.adler32):
                    found.append(f"registered and not whole: {did.key[1]} at {element}")
        for element in self.rucio.sites:
            for path in (self.rucio.root / element).rglob("*"):
                if path.is_file() and path not in known:
                    found.append(f"stored, and neither registered nor listed: {path.relative_to(self.rucio.root)}")
        return found


def possible() -> list[tuple[str, str]]:
    """The combinations that this machine has."""
    backends = ["bare"]
    backends += [engine for engine in ("docker", "podman") if _answers(engine)]
    try:
        import distributed  # noqa: F401

        backends += ["dask", "pool"]
    except ImportError:
        pass
    backends.append("dirac")
    return [(backend, store) for backend in backends for store in STORES]


def _answers(engine: str) -> bool:
    if shutil.which(engine) is None:
        return False
    words = [engine, "run", "--rm", "debian:trixie-slim", "true"]
    return subprocess.run(words, check=False, capture_output=True).returncode == 0


@contextlib.contextmanager
def opened(backend: str, store: str, folder: Path) -> Iterator[Place]:
    """What a combination needs, in a folder of its own."""
    folder.mkdir(parents=True)
    place = Place(backend, store)
    with contextlib.ExitStack() as stack:
        sockets: dict[str, str] = {}
        if store == "rucio":
            from rucio_builders import fake_server

            place.rucio = fake_server(folder / "rucio")
            server = FaultyServer(place.rucio.client("runner"), folder / "rucio.socket")
            place.servers["rucio"] = stack.enter_context(server.open())
            sockets["rucio"] = str(server.address)
            place.words += ("--store", "rucio", "--rucio-rse", ELEMENT)
        if backend == "dirac":
            from dirac_in_memory import InMemoryDirac

            place.dirac, place.outlives = InMemoryDirac(), True
            server = FaultyServer(place.dirac, folder / "dirac.socket")
            place.servers["dirac"] = stack.enter_context(server.open())
            sockets["dirac"] = str(server.address)
            place.words += ("--backend", "dirac")
        if backend in ("docker", "podman"):
            place.engine = backend
            place.words += (f"--{backend}",) if backend == "podman" else ()
            place.port = stack.enter_context(WitnessServer(_bridge(backend)))
        else:
            place.words += ("--no-container",)
        if backend == "dask":
            _open_dask(place, folder / "dask", stack)
        if backend == "pool":
            _open_pool(place, folder / "pool", stack)
        if sockets:
            place.connect = ("campaign.fakes:connect", sockets)
        yield place


def _open_dask(place: Place, folder: Path, stack: contextlib.ExitStack) -> None:
    """A cluster of a scheduler and two workers, with TLS."""
    from dask_processes import DaskProcesses

    folder.mkdir()
    place.cluster, place.outlives = stack.enter_context(DaskProcesses(folder, workers=2, threads=2)), True
    settings = {"ADDRESS": place.cluster.address, "TLS_CA": place.cluster.ca}
    settings |= {"TLS_CERT": place.cluster.certificate, "TLS_KEY": place.cluster.key}
    place.environment |= {f"GRIDCWL_DASK_{name}": str(value) for name, value in settings.items()}
    place.words += ("--backend", "dask")


def _open_pool(place: Place, folder: Path, stack: contextlib.ExitStack) -> None:
    """A pool of two nodes, which are processes of this machine."""
    from pool_nodes import NodesHere

    from gridcwl.backends.dask import pool as pools
    from gridcwl.backends.dirac.nodes import DiracNodes

    (folder / "sandbox").mkdir(parents=True)
    os.environ["GRIDCWL_STATE_DIR"] = str(folder)  # where pools are recorded
    stack.callback(os.environ.pop, "GRIDCWL_STATE_DIR", None)
    place.nodes, place.outlives = NodesHere(folder / "nodes"), True
    made = pools.create(pools.Pool(name="default", id="", host="127.0.0.1", bind="127.0.0.1", cores=2))
    stack.callback(place.nodes.wait)
    stack.callback(pools.end, made, None)
    made = pools.add_workers(made, 2, DiracNodes(place.nodes), folder / "sandbox")
    until(lambda: len(pools.workers(made)) == 2)
    place.pool, place.pools = made, folder / "pools"
    place.words += ("--backend", "pool")


def _bridge(engine: str) -> str:
    """The address of this machine that containers reach."""
    network = {"docker": "bridge", "podman": "podman"}[engine]
    words = [engine, "network", "inspect", network, "--format", "{{json .}}"]
    text = subprocess.run(words, check=True, capture_output=True, text=True).stdout
    gateways = re.findall(r'"[Gg]ateway": ?"([0-9.]+)"', json.dumps(json.loads(text)))
    address = str(gateways[0])
    with socket.socket() as probe:
        try:
            probe.bind((address, 0))
        except OSError:
            return "0.0.0.0"
    return address
