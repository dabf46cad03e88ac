"""What is asked of a kernel, and what is recorded of one that was started."""

from __future__ import annotations

import contextlib
import os
import shutil
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec

from gridcwl import plugins
from gridcwl.backends.nodes import private
from gridcwl.model import Job, JobId, RunId
from gridcwl.model.job import Image, JobDirectories, OutputRules, Resources
from gridcwl.worker.kernel_process import CHANNELS, NO_KERNEL

SETTINGS = "kernel-node.json"
WORK, TMP, INPUTS = "/work", "/tmp", "/inputs"  # noqa: S108  the container's
DIRECTORIES = JobDirectories(WORK, TMP, INPUTS)
_FIND = "import importlib.util as u, sys; sys.exit(u.find_spec('ipykernel') is None)"
COMMAND = (
    "sh",
    "-c",
    f'for python in python3 python; do "$python" -c "{_FIND}" 2> /dev/null && '
    f'exec "$python" -m ipykernel_launcher -f "$0"; done; exit {NO_KERNEL}',
)
"""Starts the kernel; the path of the connection file follows."""


class KernelRequest(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Where a kernel runs, and with what: in its kernelspec, as ``gridcwl kernel add`` wrote it."""

    backend: str = "local"
    image: str = ""
    """Empty: the place's own Python."""
    engine: str = ""
    """The container engine, on this machine; empty: the configured one."""
    site: str = ""
    cores: int = 1
    ram: int = 2048
    """MiB."""
    idle_s: int = 1800
    """The kernel ends when it was idle for so long."""
    time_s: int = 8 * 3600
    """Seconds that its job may take."""
    start_s: int = 900
    """How long is waited for its start."""
    lost_s: int = 600
    """How long the two ends try to connect again, when the connection is lost."""
    host: str = ""
    """The name or address by which sites reach this machine."""
    inputs: tuple[str, ...] = ()
    """DIDs and URLs, which are files in its working folder."""


class Record(msgspec.Struct, frozen=True, kw_only=True):
    """A kernel that was started."""

    id: str
    name: str
    """Of its kernelspec."""
    title: str
    request: KernelRequest
    notebook: str
    """Its path, if it is one that starts it."""
    sockets: str
    """The folder of the sockets that clients connect to."""
    key: str
    """Signs messages."""
    signature_scheme: str
    pid: int = 0
    """Of its relay."""

    @property
    def folder(self) -> Path:
        """Where it is recorded. Only the user can enter it."""
        return kernels_folder() / self.id

    @property
    def control(self) -> str:
        """The socket of the relay."""
        return f"{self.sockets}/control"

    def connection_info(self) -> dict[str, Any]:
        """For Jupyter's clients."""
        ports = {f"{name}_port": number for number, name in enumerate(CHANNELS, 1)}
        about = {"transport": "ipc", "ip": f"{self.sockets}/k", "key": self.key.encode("ascii")}
        return {**about, "signature_scheme": self.signature_scheme, "kernel_name": self.name, **ports}


def kernels_folder() -> Path:
    """The folder of all kernels."""
    return plugins.configuration().state().absolute() / "kernels"


def save(record: Record) -> Record:
    """Record a kernel."""
    new = record.folder / "kernel.json.new"
    new.unlink(missing_ok=True)
    private(new, msgspec.json.encode(record))
    new.rename(record.folder / "kernel.json")
    return record


def load(folder: Path) -> Record:
    """The record in a folder.

    Raises:
        OSError, ValueError: there is none.
    """
    return msgspec.json.decode((folder / "kernel.json").read_bytes(), type=Record)


def active() -> Iterator[Record]:
    """All kernels whose relay is active; what is left of others is removed."""
    for path in sorted(kernels_folder().glob("*/kernel.json")):
        with contextlib.suppress(OSError, ValueError):
            record = load(path.parent)
            if is_alive(record):
                yield record
            elif record.pid:
                remove(record)


def is_alive(record: Record) -> bool:
    """Whether its relay is active."""
    try:
        words = Path(f"/proc/{record.pid}/cmdline").read_bytes().split(b"\0")
    except OSError:
        return False
    return str(record.folder).encode() in words


def remove(record: Record) -> None:
    """Remove what is left of a kernel."""
    shutil.rmtree(record.sockets, ignore_errors=True)
    shutil.rmtree(record.folder, ignore_errors=True)


def plain_job(record: Record) -> Job:
    """The kernel as a job without inputs."""
    request, name = record.request, f"kernel-{record.id}"
    environment = {"OMP_NUM_THREADS": str(request.cores)}
    if request.backend == "local" and not request.image:  # the Python that runs this first
        environment["PATH"] = f"{Path(sys.executable).parent}{os.pathsep}{os.environ.get('PATH', os.defpath)}"
    return Job(
        id=JobId(name),
        run=RunId(name),
        name="kernel",
        command=COMMAND,
        image=Image(request.image, request.image) if request.image else None,
        directories=DIRECTORIES,
        environment=environment,
        outputs=OutputRules(globs=()),
        resources=Resources(cores=request.cores, ram_mib=request.ram, network=True),
    )
