"""Where the files of a task are in its containers: the folders that executors share, and where inputs go. Pure.

Executors may write where the task names something that they make: the folders of outputs and streams, volumes, the
working directories, and ``/tmp``. These folders are empty at first, and hide what an image has there.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from gridcwl.model import paths
from gridcwl.service.problems import BadRequest

if TYPE_CHECKING:
    from gridcwl.service.tes.request import Output, Task

TMP = "/tmp"  # noqa: S108  in a container
_HOLDS_PROGRAMS = ("bin", "etc", "lib", "lib32", "lib64", "sbin", "usr")
_NEVER = ("/proc", "/sys", "/dev", "/gridcwl")
_OF_IMAGES = frozenset({*_HOLDS_PROGRAMS, "boot", "home", "opt", "root", "run", "srv"})
"""Below these an image has its own files: a working directory there is not hidden."""


@dataclass(frozen=True, slots=True)
class Places:
    """The folders of a task."""

    folders: tuple[str, ...]
    """That executors may write to; none is below another."""
    made: tuple[str, ...]
    """Below these: what is there before the first executor, empty."""
    changed: frozenset[int]
    """The inputs, by index, that are directories with such folders in them."""

    def inside(self, path: str) -> str:
        """A path, or a pattern, as it is in the output directory of the job.

        Raises:
            ValueError: it is not below one of the folders.
        """
        for number, folder in enumerate(self.folders):
            if paths.below(path, folder):
                return f"folders/{number}{path[len(folder) :]}".rstrip("/")
        raise ValueError(path)

    def outside(self, path: str) -> str:
        """The path in a container of what is at a path of the output directory."""
        _, number, *rest = path.split("/", 2)
        return "/".join([self.folders[int(number)], *rest])


def places(task: Task) -> Places:
    """Where the files of a checked task are."""
    wanted = {normal(path) for path in _written(task)}
    inputs = [(normal(given.path), given.is_directory) for given in task.inputs or ()]
    changed = {
        index
        for index, (path, is_directory) in enumerate(inputs)
        if is_directory and any(paths.below(folder, path) for folder in wanted)
    }
    tops = wanted | {inputs[index][0] for index in changed}
    folders = tuple(_outermost(tops))
    taken = {path for path, _ in inputs}
    return Places(folders, tuple(sorted(wanted - set(folders) - taken)), frozenset(changed))


def check(task: Task) -> None:
    """See that the paths of a task can be in one container.

    Raises:
        BadRequest: two of them cannot be, or one would hide what a container needs.
    """
    found = places(task)
    for folder in found.folders:
        if any(paths.below(folder, system) for system in _NEVER) or folder[1:] in _HOLDS_PROGRAMS:
            raise BadRequest(
                f"{folder} cannot be written to: it belongs to the container's system. Use another folder."
            )
    seen: dict[str, bool] = {}
    for given in task.inputs or ():
        path = normal(given.path)
        if path in seen:
            raise BadRequest(f"Two inputs have the path {paths.quoted(path)}")
        seen[path] = given.is_directory
    for path, is_directory in seen.items():
        if any(paths.below(path, system) for system in _NEVER):
            raise BadRequest(f"The input {paths.quoted(path)} has a path that belongs to the container's system")
        if not is_directory and any(
            paths.below(other, path) for other in (*found.folders, *found.made, *seen) if other != path
        ):
            raise BadRequest(f"The input {paths.quoted(path)} is a file, and something else is to be below it")
        if not is_directory and path in found.folders:
            raise BadRequest(f"The input {paths.quoted(path)} is a file, and a folder is to be there")
    _check_streams(task, found, seen)


def _check_streams(task: Task, found: Places, inputs: dict[str, bool]) -> None:
    for number, executor in enumerate(task.executors):
        for name in ("stdout", "stderr"):
            path = getattr(executor, name)
            if path and normal(path) in inputs:
                raise BadRequest(f"executors[{number}].{name} is {paths.quoted(path)}, where an input is")
        if executor.stdin:
            path = normal(executor.stdin)
            there = path in inputs or any(paths.below(path, one) for one in (*found.folders, *inputs))
            if not there:
                raise BadRequest(
                    f"executors[{number}].stdin is {paths.quoted(path)}, which is neither an input nor in a folder "
                    "that executors write to"
                )


def fixed_part(output: Output) -> str:
    """The folder that all outputs of a pattern are in."""
    parts = output.path.split("/")
    first = next((index for index, part in enumerate(parts) if any(sign in part for sign in "*?[")), len(parts))
    return "/".join(parts[:first])


def _written(task: Task) -> Iterable[str]:
    """All folders that executors have to be able to write to."""
    yield TMP
    yield from task.volumes or ()
    for output in task.outputs or ():
        if output.has_wildcards:
            yield _folder(fixed_part(output), output.path)
        else:
            yield (
                output.path if output.is_directory else _folder(output.path.rstrip("/").rpartition("/")[0], output.path)
            )
    for executor in task.executors:
        for path in (executor.stdout, executor.stderr):
            if path:
                yield _folder(path.rpartition("/")[0], path)
        workdir = executor.workdir or "/"
        if workdir.strip("/") and workdir.lstrip("/").split("/")[0] not in _OF_IMAGES:
            yield workdir


def _folder(folder: str, path: str) -> str:
    if not folder.strip("/"):
        raise BadRequest(f"{paths.quoted(path)} is directly below /, where nothing can be written. Use a folder.")
    return folder


def normal(path: str) -> str:
    """An absolute path with single slashes, and none at its end."""
    return "/" + "/".join(part for part in path.split("/") if part not in ("", "."))


def _outermost(folders: Iterable[str]) -> list[str]:
    kept: list[str] = []
    for folder in sorted(folders):
        if not any(paths.below(folder, other) for other in kept):
            kept.append(folder)
    return kept
