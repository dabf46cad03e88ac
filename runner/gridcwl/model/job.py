"""What a job is: one invocation of one CommandLineTool, fully resolved.

A ``Job`` needs no CWL, no cwltool and no JavaScript to be run. Its JSON form (``job.json``) is what the worker reads;
``job.schema.json`` beside this file is its JSON Schema.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal, NewType

JobId = NewType("JobId", str)
RunId = NewType("RunId", str)


def session_and_number(job_id: str) -> tuple[int, int]:
    """The session of its run that a job belongs to, and its number in it: 2 and 17 of ``RUN-2-17``."""
    _, session, number = job_id.rsplit("-", 2)
    return int(session), int(number)


JOB_FORMAT: Literal["gridcwl-job/1"] = "gridcwl-job/1"

StagedKind = Literal["file", "directory", "literal"]


@dataclass(frozen=True, slots=True)
class Image:
    """Where a tool's container image comes from: the fields of CWL's DockerRequirement.

    https://www.commonwl.org/v1.2/CommandLineTool.html#DockerRequirement
    """

    id: str
    """The name by which the engine knows the image once it is there (``dockerImageId``, else ``dockerPull``)."""
    pull: str | None = None
    load: str | None = None
    """An archive made by ``docker save`` (``dockerLoad``): a path or URL."""
    rootfs: str | None = None
    """The archive of a root file system (``dockerImport``): a path or URL."""
    file: str | None = None
    """The text of a Dockerfile (``dockerFile``)."""


@dataclass(frozen=True, slots=True)
class JobDirectories:
    """The absolute paths of the job's directories as the tool sees them.

    In a container they are mounted there. Without one, the worker replaces these prefixes by real paths in command,
    environment and literals.
    """

    out: str = "/gridcwl/out"
    tmp: str = "/gridcwl/tmp"
    inputs: str = "/gridcwl/in"


@dataclass(frozen=True, slots=True)
class StagedFile:
    """One file or directory that the tool finds in place when it starts."""

    target: str
    """Absolute path as the tool sees it; below ``directories.out`` for what InitialWorkDirRequirement asks for."""
    kind: StagedKind
    sources: tuple[str, ...] = ()
    """URLs to try in turn. Empty for a literal and for a directory that is made empty."""
    contents: str = ""
    """The text of a literal."""
    writable: bool = False
    """The tool may change it: it gets a copy of its own, or with ``Job.in_place`` the original itself."""
    size: int | None = None
    checksum: str | None = None
    """As CWL writes it: ``sha1$`` or ``adler32$`` and the hexadecimal digest."""
    location: str = ""
    """The URL by which the world knows it, where the sources are copies of that; empty if it is the source itself.
    Of one that the store of ``Job.storage`` knows, the store named the sources: credentials may be sent there."""


@dataclass(frozen=True, slots=True)
class OutputRules:
    """What the worker keeps of what the tool leaves in its output directory."""

    globs: tuple[str, ...] | None = None
    """Shell patterns (glob(7)) relative to the output directory; None keeps everything."""
    contents: tuple[str, ...] = ()
    """Patterns of the files whose first 64 KiB come back in the result (CWL's ``loadContents``)."""
    ports: dict[str, tuple[str, ...]] = field(default_factory=dict)
    """The tool's outputs with the patterns of each, for who files them by output; the worker has no use for it."""


@dataclass(frozen=True, slots=True)
class StorageElement:
    """A place where outputs can be left, and the ways to it."""

    name: str
    """As Rucio has it: the name of the RSE."""
    urls: tuple[str, ...]
    """Prefixes that end with ``/``, one for each protocol, the preferred one first: ``davs://host:1094/rucio/``."""
    sites: tuple[str, ...] = ()
    """Workers at these sites use it first."""
    naming: Literal["hash", "identity", "name"] = "hash"
    """How a file's path below the prefix comes from scope and name: Rucio's ``lfn2pfn`` algorithms of these names, and
    CTAO's, whose names are paths."""


@dataclass(frozen=True, slots=True)
class Storage:
    """Where the worker leaves what a job made, where outputs do not stay on the worker's own disk.

    The worker puts each file at ``<url><path of scope:prefix+mangled relative path>`` of one element; the URL that it
    reports is ``scheme://scope/name``. Whoever submitted the job registers it.
    """

    scope: str
    prefix: str
    """The names of the job's outputs begin with this; unique for each attempt of a job."""
    elements: tuple[StorageElement, ...]
    """Those of the worker's site come first, then the others in this order."""
    scheme: str
    """Of the URLs by which the store knows its files: ``rucio``."""

    @property
    def root(self) -> str:
        """What the URLs of all the store's files begin with."""
        return f"{self.scheme}://"


@dataclass(frozen=True, slots=True)
class Resources:
    """What a job needs; CWL's ResourceRequirement, ToolTimeLimit, NetworkAccess; cwltool's CUDARequirement, ShmSize."""

    cores: float = 1.0
    ram_mib: int = 256
    tmp_mib: int = 1024
    out_mib: int = 1024
    time_limit_s: int | None = None
    """Wall seconds; None is no limit."""
    network: bool = False
    gpus: int = 0
    shm_bytes: int | None = None
    """The size of ``/dev/shm`` in a container; None leaves it to the engine."""


@dataclass(frozen=True, slots=True)
class Placement:
    """Where a job is to run and how it is treated there: ``gridcwl:Placement``, ``dirac:Job`` or ``dirac:Scheduling``.

    For places that have a choice; this machine has none.
    """

    sites: tuple[str, ...] = ()
    """Only these; empty is any."""
    banned: tuple[str, ...] = ()
    """None of these."""
    tags: tuple[str, ...] = ()
    """What a site has to offer beside processors and memory, as its administrators call it."""
    platform: str | None = None
    priority: int | None = None
    """The higher, the earlier among the user's own jobs."""
    job_type: str | None = None
    cpu_work: int | None = None
    """Seconds of CPU, normalised to HS06: DIRAC's CPUTime."""


@dataclass(frozen=True, slots=True)
class ExitCodes:
    """How exit codes are read, beyond 0 for success and all others for failure."""

    success: tuple[int, ...] = ()
    temporary_failure: tuple[int, ...] = ()
    permanent_failure: tuple[int, ...] = ()


@dataclass(frozen=True, slots=True)
class Process:
    """One of several processes that a job runs one after the other in the same folders, each in an image of its own."""

    command: tuple[str, ...]
    image: Image
    environment: dict[str, str] = field(default_factory=dict)
    workdir: str | None = None
    """Absolute path as the tool sees it; None leaves it to the image, where the engine can."""
    stdin: str | None = None
    """Absolute path as the tool sees it; as the next two."""
    stdout: str | None = None
    """Below one of ``Job.folders``; None keeps the stream as a log only."""
    stderr: str | None = None
    ignore_failure: bool = False
    """The next one runs whatever the exit code."""


@dataclass(frozen=True, slots=True)
class Job:
    """One invocation of one CommandLineTool, fully resolved; or several processes that share their folders."""

    id: JobId
    """Unique in the world; safe as a file name and as a container name."""
    run: RunId
    name: str
    """The step's path with scatter indices, for people: ``align/sort[3]``."""
    command: tuple[str, ...]
    image: Image | None = None
    """None runs the bare command."""
    environment: dict[str, str] = field(default_factory=dict)
    directories: JobDirectories = JobDirectories()
    staged: tuple[StagedFile, ...] = ()
    stdin: str | None = None
    """Absolute path as the tool sees it."""
    stdout: str | None = None
    """Relative to the output directory; None keeps the stream as a log only."""
    stderr: str | None = None
    outputs: OutputRules = OutputRules()
    resources: Resources = Resources()
    exit_codes: ExitCodes = ExitCodes()
    in_place: bool = False
    """Writable files are changed where they are (cwltool's InplaceUpdateRequirement)."""
    attempt: int = 1
    storage: Storage | None = None
    """Where outputs go; None leaves them in the job's own folder."""
    trusted: tuple[str, ...] = ()
    """URLs below which credentials may be sent, beside those of ``storage`` and of replicas that the store named."""
    placement: Placement | None = None
    """Where the document wants it to run; None if it does not say."""
    folders: tuple[str, ...] = ()
    """Absolute paths, none below another, where ``processes`` find folders that they may write to, empty at first. The
    one with the index N is ``folders/N`` in the output directory."""
    processes: tuple[Process, ...] = ()
    """Run in this order, in place of ``command``, in containers that see ``folders`` and the staged files. The first
    that fails ends the job. Of ``directories`` they see no output directory; HOME and TMPDIR are that for temporary
    files."""
    format: Literal["gridcwl-job/1"] = JOB_FORMAT


def folder_name(job: Job) -> str:
    """The name of the folder of one attempt of a job: the logs of all attempts are kept."""
    return f"{job.id}-{job.attempt}"
