"""Warm pools: nodes in jobs of a batch system that connect outwards, by TLS, to a scheduler on the user's machine.

A pool is a folder that only its user can enter: its certificates, the scheduler's address, the jobs. Certificates are
the pool's own. They reach its jobs in the input sandbox, which a batch system gives to the user's own jobs only.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import re
import secrets
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path
from typing import Any, TypeVar

import msgspec
from distributed import Client

from gridcwl.backends.dask.clusters import security_of
from gridcwl.backends.dask.plugin import DaskSettings, pool_folder
from gridcwl.backends.nodes import (
    NODE_CERTIFICATE,
    NODE_KEY,
    NodeRequest,
    PoolHost,
    own_address,
    private,
    write_certificate,
)
from gridcwl.backends.nodes import sandbox_files as node_files
from gridcwl.errors import BackendError, ConfigError

_START_S, _CONNECT_S = 60.0, 10
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,63}\Z")
SETTINGS = "pool-node.json"
CERTIFICATE, KEY = "client-cert.pem", "client-key.pem"
"""Of clients and the scheduler: they never leave this machine."""

_T = TypeVar("_T")


class Pool(msgspec.Struct, frozen=True, kw_only=True):
    """What is recorded of a pool."""

    name: str
    id: str
    """Unique: part of its jobs' group."""
    cores: int = 1
    ram: int = 2048
    """MiB of memory of a worker."""
    site: str = ""
    image: str = ""
    """Its workers run in this container; empty: with the site's own Python."""
    time_s: int = 8 * 3600
    """Seconds that a job may take."""
    idle_s: int = 1800
    """The pool ends when nothing ran for so long."""
    host: str = ""
    """The name or address by which sites reach this machine."""
    bind: str = ""
    """The address that the pool listens at; empty: all."""
    port: int = 0
    """Nodes connect to it."""
    backend: str = "dirac"
    """Whose jobs its nodes are."""
    kind: str = "DIRAC jobs"
    """What these are called."""
    pid: int = 0
    address: str = ""
    jobs: tuple[str | int, ...] = ()
    """Those that were submitted, by their host's ids; those of older records are numbers."""

    @property
    def group(self) -> str:
        """The group of its jobs."""
        return f"gridcwl-pool-{self.name}-{self.id}"

    @property
    def folder(self) -> Path:
        """Where it is recorded."""
        return pool_folder(self.name)

    def settings(self, **others: Any) -> DaskSettings:
        """Of the Dask backend, for this pool."""
        certificate, key = self.folder / CERTIFICATE, self.folder / KEY
        return DaskSettings(
            address=self.address, tls_ca=certificate, tls_cert=certificate, tls_key=key, site=self.site, **others
        )


def load(name: str) -> Pool:
    """A pool by its name.

    Raises:
        ConfigError: there is none.
    """
    try:
        return msgspec.json.decode((pool_folder(name) / "pool.json").read_bytes(), type=Pool)
    except (OSError, msgspec.DecodeError):
        remedy = f"gridcwl pool up --name {name} --workers 8 starts it; gridcwl pool ls lists those there are."
        raise ConfigError(f"There is no pool {name}", remedy=remedy) from None


def pools() -> Iterator[Pool]:
    """All pools."""
    for path in sorted(pool_folder("x").parent.glob("*/pool.json")):
        with contextlib.suppress(ConfigError):
            yield load(path.parent.name)


def create(pool: Pool) -> Pool:
    """Make its folder and certificates, and start its scheduler, which outlives this process.

    Raises:
        ConfigError: the name is taken, or is none.
        BackendError: the scheduler does not start.
    """
    if not _NAME.match(pool.name):
        raise ConfigError(f"{pool.name!r} cannot be a pool's name", remedy="Use letters, digits, and . _ - in between.")
    folder = pool.folder
    if folder.exists():
        remedy = f"gridcwl pool scale {pool.name} --workers N changes it, gridcwl pool down {pool.name} ends it."
        raise ConfigError(f"There is a pool {pool.name} already", remedy=remedy)
    folder.parent.mkdir(parents=True, exist_ok=True)
    folder.mkdir(mode=0o700)
    try:
        for certificate, key in ((CERTIFICATE, KEY), (NODE_CERTIFICATE, NODE_KEY)):
            write_certificate(folder / certificate, folder / key)
        pool = msgspec.structs.replace(pool, id=secrets.token_hex(4), host=pool.host or own_address())
        return save(_with_scheduler(save(pool)))
    except BaseException:
        shutil.rmtree(folder, ignore_errors=True)
        raise


def security_files(folder: Path) -> dict[str, str]:
    """Arguments of ``Security`` for the pool's scheduler, and all that connects to it."""
    certificate, key = str(folder / CERTIFICATE), str(folder / KEY)
    roles = {f"tls_{role}_{kind}" for role in ("scheduler", "worker", "client") for kind in ("cert", "key")}
    found = {name: certificate if name.endswith("cert") else key for name in roles}
    return {"tls_ca_file": certificate, **found}


def save(pool: Pool) -> Pool:
    """Record a pool."""
    new = pool.folder / "pool.json.new"
    new.unlink(missing_ok=True)
    private(new, msgspec.json.encode(pool))
    new.rename(pool.folder / "pool.json")
    return pool


def _with_scheduler(pool: Pool) -> Pool:
    folder = pool.folder
    words = ["-m", "gridcwl.backends.dask.pool_scheduler", str(folder)]
    with (folder / "scheduler.log").open("ab") as log:
        process = subprocess.Popen(
            [sys.executable, *words], stdin=subprocess.DEVNULL, stdout=log, stderr=log, cwd="/", start_new_session=True
        )
    until = time.monotonic() + _START_S
    ready = folder / "address"
    while not ready.exists():
        if process.poll() is not None or time.monotonic() > until:
            process.kill()
            last = (folder / "scheduler.log").read_text("utf-8", "replace").strip().rpartition("\n")[2]
            raise BackendError(f"The pool's scheduler does not start: {last}", remedy="Look at its options.")
        time.sleep(0.05)
    address, port = ready.read_text("ascii").split()
    return msgspec.structs.replace(pool, pid=process.pid, address=address, port=int(port))


def add_workers(pool: Pool, number: int, host: PoolHost, folder: Path) -> Pool:
    """Submit jobs that hold a worker each; their files are written to this folder, which is removed by others."""
    needs = NodeRequest(
        pool.group, tuple(sandbox_files(pool, folder)), pool.cores, pool.ram, pool.time_s, pool.site, prefix="worker-"
    )
    started = host.start_all(needs, len(pool.jobs) + 1, number)
    return save(msgspec.structs.replace(pool, jobs=(*pool.jobs, *started)))


def sandbox_files(pool: Pool, folder: Path) -> list[Path]:
    """The input sandbox of its jobs."""
    about = {
        "image": pool.image,
        "host": pool.host,
        "port": pool.port,
        "slots": 4 * pool.cores,
        "time_s": pool.time_s,
        "folder": "jobs",
    }
    return node_files(folder, pool.folder, "gridcwl.worker.pool_node", SETTINGS, about)


def ask(pool: Pool, what: Callable[[Any], Awaitable[_T]]) -> _T:
    """Something of the pool's scheduler.

    Raises:
        BackendError: it has ended, or does not answer.
    """

    async def asked() -> _T:
        security = security_of(pool.settings())
        client = Client(pool.address, asynchronous=True, security=security, timeout=_CONNECT_S, set_as_default=False)
        async with client:
            return await what(client.scheduler)

    try:
        return asyncio.run(asked())
    except (OSError, TimeoutError) as error:
        raise BackendError(
            f"The scheduler of the pool {pool.name} has ended, or does not answer",
            remedy=f"gridcwl pool down {pool.name} removes the pool, gridcwl pool up starts another one.",
        ) from error


def workers(pool: Pool) -> dict[str, Any]:
    """The workers that are connected now, by address; raises as :func:`ask`."""
    found: dict[str, Any] = ask(pool, lambda scheduler: scheduler.identity(n_workers=-1))["workers"]
    return found


def retire(pool: Pool, number: int) -> None:
    """Let so many workers end, the idle ones first; raises as :func:`ask`."""
    ask(pool, lambda scheduler: scheduler.retire_workers(n=number, close_workers=True))


def is_alive(pool: Pool) -> bool:
    """Whether its scheduler runs."""
    try:
        words = Path(f"/proc/{pool.pid}/cmdline").read_bytes().split(b"\0")
    except OSError:
        return False
    return os.fsencode(pool.folder) in words


def end(pool: Pool, host: PoolHost | None) -> None:
    """End its scheduler, and with it its workers; kill jobs that have not started; remove its folder."""
    if is_alive(pool):
        with contextlib.suppress(ProcessLookupError):
            os.kill(pool.pid, signal.SIGTERM)
    if host is not None and pool.jobs:
        host.end_all([str(job) for job in pool.jobs])
    shutil.rmtree(pool.folder, ignore_errors=True)
