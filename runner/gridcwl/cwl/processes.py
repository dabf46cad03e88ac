"""The hint ``gridcwl:Processes``: a tool that is several processes in the same folders, each in an image of its own.

    hints:
      gridcwl:Processes: {processes: $(inputs.processes)}

Its value is the JSON text of folders, processes and the paths of inputs. Tasks of GA4GH TES are run by it: the service
writes such documents, see ``gridcwl.service.tes.document``. The text comes from an input: nothing in it is evaluated.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import msgspec

from gridcwl.errors import DocumentError
from gridcwl.model import Image, Job, JobDirectories, Process, StagedFile, paths

if TYPE_CHECKING:
    from cwltool.builder import Builder
    from cwltool.process import Process as Tool

HINT = "gridcwl:Processes"
_SYSTEM = ("/proc", "/sys", "/dev")


class ProcessText(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One process; the fields are described in ``gridcwl.model.Process``."""

    command: tuple[str, ...]
    image: str
    environment: dict[str, str] = {}
    workdir: str | None = None
    stdin: str | None = None
    stdout: str | None = None
    stderr: str | None = None
    ignore_failure: bool = False


class ProcessesText(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The value of the hint."""

    processes: tuple[ProcessText, ...]
    folders: tuple[str, ...] = ()
    """See ``gridcwl.model.Job``."""
    made: tuple[str, ...] = ()
    """Empty directories below the folders."""
    inputs: dict[str, str] = {}
    """By the names of the tool's inputs that are Files or Directories: where the processes see them."""
    changed: tuple[str, ...] = ()
    """The inputs that processes may change: they see copies."""
    gpus: int = 0


def is_processes(name: str) -> bool:
    """Whether a class name means the hint, however its prefix was resolved."""
    return name.endswith("Processes") and "gridcwl" in name


def with_processes(job: Job, tool: Tool, builder: Builder) -> Job:
    """The job with the processes of the hint; the same one if there is no hint.

    Raises:
        DocumentError: the hint is wrong.
        UnsafePath: a path in it is.
    """
    for hint in reversed(tool.hints or ()):
        if is_processes(str(hint.get("class", ""))):
            return _applied(job, _read(builder.do_eval(hint.get("processes")), job.name), builder)
    return job


def _read(value: Any, name: str) -> ProcessesText:
    try:
        text = msgspec.json.decode(str(value), type=ProcessesText)
    except msgspec.MsgspecError as error:
        raise DocumentError(f"{name}: the hint {HINT} is wrong: {error}") from None
    if not text.processes or not all(process.command and process.image for process in text.processes):
        raise DocumentError(f"{name}: the hint {HINT} has a process without a command or an image")
    return text


def _applied(job: Job, text: ProcessesText, builder: Builder) -> Job:
    folders = tuple(checked_folders(text.folders))
    if job.image is None:
        raise DocumentError(f"{job.name}: the hint {HINT} needs a DockerRequirement, and containers")
    processes = tuple(_process(process) for process in text.processes)
    return replace(
        job,
        command=processes[0].command,
        image=processes[0].image,
        directories=replace(job.directories, tmp=JobDirectories().tmp),  # /tmp may be one of the folders
        staged=(*_placed(job.staged, text, builder), *_made(text.made, folders)),
        resources=replace(job.resources, gpus=max(0, text.gpus)),
        folders=folders,
        processes=processes,
    )


def _process(text: ProcessText) -> Process:
    for path in (text.workdir, text.stdin, text.stdout, text.stderr):
        if path is not None:
            paths.absolute(path, "A path of a process")
    image = Image(id=text.image, pull=text.image)
    fields: dict[str, Any] = msgspec.structs.asdict(text)
    return Process(**{**fields, "image": image})


def checked_folders(folders: Sequence[str]) -> list[str]:
    """Folders of a job as they may be.

    Raises:
        UnsafePath: one is not absolute and normalised, or it hides what a container needs.
        DocumentError: one is below another.
    """
    found: list[str] = []
    for folder in folders:
        path = paths.absolute(folder, "A folder of a job")
        if any(paths.below(path, system) for system in _SYSTEM):
            raise DocumentError(f"{path} cannot be a folder of a job: it belongs to the system")
        if any(paths.below(path, other) or paths.below(other, path) for other in found):
            raise DocumentError(f"{path} is below another folder of the job, or above it")
        found.append(path)
    return found


def _made(directories: Sequence[str], folders: Sequence[str]) -> list[StagedFile]:
    for path in directories:
        if not any(paths.below(paths.absolute(path, "A directory of a job"), folder) for folder in folders):
            raise DocumentError(f"{path} is below no folder of the job")
    return [StagedFile(path, "directory", writable=True) for path in directories]


def _placed(staged: Sequence[StagedFile], text: ProcessesText, builder: Builder) -> list[StagedFile]:
    """What is staged, with inputs where the processes are to see them."""
    moved: dict[str, tuple[str, bool]] = {}
    for name, target in text.inputs.items():
        entry = builder.job.get(name)
        if isinstance(entry, dict) and "path" in entry:
            moved[str(entry["path"])] = (paths.absolute(target, "The place of an input"), name in text.changed)
    return [_moved(item, moved) for item in staged]


def _moved(item: StagedFile, moved: dict[str, tuple[str, bool]]) -> StagedFile:
    for begin, (target, writable) in moved.items():
        if item.target == begin or item.target.startswith(f"{begin}/"):
            return replace(item, target=target + item.target[len(begin) :], writable=writable or item.writable)
    return item
