"""The interface between the worker and whatever starts the tool's process: a container engine, or none."""

import dataclasses
from typing import Any, Dict, Mapping, Optional, Protocol, Tuple


class EngineError(Exception):
    """The engine could not do its part: no engine, no image, a container that could not be started.

    Not for a tool that ran and failed. ``temporary`` when trying again later may help: then the job's outcome says so.
    """

    def __init__(self, message: str, *, temporary: bool = False) -> None:
        super().__init__(message)
        self.temporary = temporary


PROCESSES = 4096
"""Processes and threads that a container may have at a time, unless the settings say otherwise."""


@dataclasses.dataclass(frozen=True)
class Mount:
    """A file or folder of this machine, seen by the tool at ``target``."""

    source: str
    target: str
    writable: bool = False


@dataclasses.dataclass(frozen=True)
class ContainerSettings:
    """How containers are run on this machine, whatever the job; cwltool's options of similar names."""

    program: Optional[str] = None
    """The engine's program, if it is not the one in PATH."""
    pull: str = "missing"
    """Which images are pulled: missing, always or never."""
    network: Optional[str] = None
    """The network of containers that may use one; None leaves it to the engine."""
    match_user: bool = True
    """Run as the caller; False as the image's user."""
    read_only: bool = True
    """The image's own folders cannot be written to."""
    remove: bool = True
    """Remove containers that have ended."""
    id_folder: Optional[str] = None
    """Write each container's id into a file there."""
    id_prefix: str = ""
    """How the names of these files begin."""
    sandboxes: Optional[str] = None
    """A folder with unpacked images, for singularity and apptainer."""


DEFAULT_SETTINGS = ContainerSettings()


@dataclasses.dataclass(frozen=True)
class Call:
    """One process to start, with everything resolved to this machine."""

    name: str
    """For the container; unique on this machine."""
    argv: Tuple[str, ...]
    environment: Mapping[str, str]
    workdir: str
    """As the tool sees it; empty leaves it to the image, where the engine can."""
    stdout: str
    """Path on this machine; the stream is written there."""
    stderr: str
    stdin: Optional[str] = None
    image: Optional[str] = None
    """What ``prepare`` returned; None for the bare command."""
    mounts: Tuple[Mount, ...] = ()
    cores: Optional[float] = None
    """A limit to hold the tool to; None is no limit."""
    ram_mib: Optional[int] = None
    network: bool = False
    gpus: int = 0
    shm_bytes: Optional[int] = None
    """The size of /dev/shm; None leaves it to the engine."""
    capabilities: Tuple[str, ...] = ()
    """Linux capabilities that the tool keeps, by the kernel's names without ``CAP_``; all others are dropped."""
    processes: Optional[int] = None
    """The most processes and threads in the container; None is ``PROCESSES``, 0 is no limit."""
    labels: Mapping[str, str] = dataclasses.field(default_factory=dict)
    """For finding what a dead client left behind: run and job id."""


@dataclasses.dataclass(frozen=True)
class Exit:
    """How the process ended."""

    code: int
    """The exit code; minus the signal's number if a signal ended it."""
    out_of_memory: bool = False
    cpu_s: Optional[float] = None
    max_rss_mib: Optional[float] = None
    read_bytes: Optional[int] = None
    written_bytes: Optional[int] = None


IMAGES_USER = ("CHOWN", "DAC_OVERRIDE", "FOWNER")
"""What the image's user keeps beside what is given back: as root it writes to folders that belong to the caller."""


def kept(call: Call, settings: ContainerSettings) -> Tuple[str, ...]:
    """The Linux capabilities that the tool keeps."""
    return call.capabilities if settings.match_user else tuple(dict.fromkeys((*call.capabilities, *IMAGES_USER)))


class Running(Protocol):
    """A started process. ``terminate`` and ``kill`` may be called from other threads, also after the end."""

    def wait(self) -> Exit:
        """Block until the process has ended and both streams are written; called once."""

    def terminate(self) -> None:
        """Ask the tool to stop (SIGTERM)."""

    def kill(self) -> None:
        """Stop the tool now (SIGKILL), with all that it started."""


class Engine(Protocol):
    """Starts tools. One instance serves many jobs from many threads."""

    name: str
    containers: bool
    """False for the bare command: then the tool sees this machine's real paths."""

    def prepare(self, image: Mapping[str, Any]) -> str:
        """Make sure that the image (JSON form of ``gridcwl.model.Image``) is there.

        Looked for first, then pulled, loaded, imported or built; once per image however many jobs ask at the same
        time. Returns the name or id to start it by.

        Raises:
            EngineError: it is unavailable.
        """

    def digest(self, prepared: str) -> str:
        """What says which image that is wherever it is: ``debian@sha256:...`` as its registry has it, else the id.

        Args:
            prepared: what ``prepare`` returned.

        Returns:
            The digest; empty where the engine keeps none.
        """

    def start(self, call: Call) -> Running:
        """Start the tool.

        Raises:
            EngineError: the container could not be started.
            FileNotFoundError, PermissionError: the bare command's program is not there or may not be run.
        """


Plain = Dict[str, Any]
"""A JSON object: a job, a result, or a part of one."""
