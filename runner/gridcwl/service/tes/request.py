"""A task as a client sends it: decoded and checked. Nothing of it is trusted."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from typing import Any, Literal

import msgspec

from gridcwl.errors import UnsafePath
from gridcwl.model import paths
from gridcwl.service.problems import BadRequest
from gridcwl.service.tes import places

MOST_BYTES = 32 << 20
"""Of one task. The specification asks for 128 KiB of one input's content at least."""
_MOST = {"executors": 100, "inputs": 10_000, "outputs": 10_000, "volumes": 100}
_MOST_TAGS = 100
_LONGEST_TAG = 1000
_LONGEST_NAME = 1000
_MOST_CORES = 100_000
_MOST_GB = 1_000_000
_IMAGE = re.compile(r"[A-Za-z0-9][\w./:@+-]{0,500}", re.ASCII)
_WORD = re.compile(r"[\w./:@+-]{1,200}", re.ASCII)

FileType = Literal["FILE", "DIRECTORY"]


class _Message(msgspec.Struct, frozen=True, omit_defaults=True):
    """A message of the specification. Fields that a client adds are ignored, as are those that the service fills in."""


class Input(_Message, frozen=True):
    """``tesInput``."""

    path: str
    url: str | None = None
    content: str | None = None
    type: FileType | None = None
    name: str | None = None
    description: str | None = None
    streamable: bool | None = None

    @property
    def is_directory(self) -> bool:
        """It brings a folder with all that is in it."""
        return self.type == "DIRECTORY"


class Output(_Message, frozen=True):
    """``tesOutput``."""

    path: str
    url: str
    path_prefix: str | None = None
    type: FileType | None = None
    name: str | None = None
    description: str | None = None

    @property
    def is_directory(self) -> bool:
        """It is a folder with all that is in it."""
        return self.type == "DIRECTORY"

    @property
    def has_wildcards(self) -> bool:
        """The path selects any number of outputs."""
        return any(sign in self.path for sign in "*?[")


class Executor(_Message, frozen=True):
    """``tesExecutor``."""

    image: str
    command: tuple[str, ...]
    workdir: str | None = None
    stdin: str | None = None
    stdout: str | None = None
    stderr: str | None = None
    env: dict[str, str] | None = None
    ignore_error: bool | None = None


class TaskResources(_Message, frozen=True):
    """``tesResources``."""

    cpu_cores: int | None = None
    preemptible: bool | None = None
    ram_gb: float | None = None
    disk_gb: float | None = None
    zones: tuple[str, ...] | None = None
    backend_parameters: dict[str, str] | None = None
    backend_parameters_strict: bool | None = None


class Task(_Message, frozen=True):
    """``tesTask``, as far as clients fill it in."""

    executors: tuple[Executor, ...]
    name: str | None = None
    description: str | None = None
    inputs: tuple[Input, ...] | None = None
    outputs: tuple[Output, ...] | None = None
    resources: TaskResources | None = None
    volumes: tuple[str, ...] | None = None
    tags: dict[str, str] | None = None


PARAMETERS = {
    "priority": "a whole number; the higher, the earlier among the user's own jobs",
    "tags": "words with commas: what a site has to offer",
    "banned_sites": "names with commas: none of these sites",
    "platform": "a word",
    "job_type": "a word",
    "gpus": "a whole number",
    "time_limit": "seconds",
}
"""Keys of ``backend_parameters`` in small letters, and what they take."""
_NUMBERS = frozenset({"priority", "gpus", "time_limit"})


def decoded(body: bytes) -> Task:
    """The task in a request's body.

    Raises:
        BadRequest: it is not one; naming the field.
    """
    try:
        task = msgspec.json.decode(body, type=Task)
    except RecursionError:
        raise BadRequest("The task is nested too deeply") from None
    except (msgspec.MsgspecError, UnicodeDecodeError) as error:
        raise BadRequest(f"The request is not a task: {str(error)[:300]}") from None
    _check(task)
    return task


def accepted(task: Task) -> tuple[Task, list[str]]:
    """The task with those backend parameters that are supported, in small letters; and warnings of what has no effect.

    Raises:
        BadRequest: one does not take its value, or is not supported and the task is strict.
    """
    resources = task.resources
    if resources is None:
        return task, []
    known: dict[str, str] = {}
    warnings = []
    for key, value in (resources.backend_parameters or {}).items():
        if key.lower() in PARAMETERS:
            known[key.lower()] = _checked_parameter(key, value)
        else:
            warnings.append(f"The backend parameter {key[:80]} is not supported and has no effect")
    if warnings and resources.backend_parameters_strict:
        raise BadRequest(f"{warnings[0]}, and backend_parameters_strict is set. Supported: {', '.join(PARAMETERS)}.")
    if resources.preemptible:
        warnings.append("preemptible has no effect: jobs are not preempted")
    kept = msgspec.structs.replace(resources, backend_parameters=known or None)
    return msgspec.structs.replace(task, resources=kept), warnings


def plain(task: Task) -> dict[str, Any]:
    """The task as JSON has it, without fields that are not filled in."""
    made: dict[str, Any] = msgspec.to_builtins(task)
    return made


def stored(value: Any) -> Task:
    """A task of the database."""
    return msgspec.convert(value, Task)


def _check(task: Task) -> None:
    if not task.executors:
        raise BadRequest("The task has no executors")
    _check_numbers(task)
    _check_texts(task)
    _check_tags(task.tags or {})
    for number, executor in enumerate(task.executors):
        _check_executor(executor, f"executors[{number}]")
    _check_resources(task.resources or TaskResources())
    for what, path in _paths(task):
        try:
            if paths.absolute(path, what) == "/":
                raise BadRequest(f"{what} is /, but takes a path below it")
        except UnsafePath as error:
            raise BadRequest(error.message) from None
    for number, given in enumerate(task.inputs or ()):
        if not given.content and not given.url:
            raise BadRequest(f"inputs[{number}] has neither url nor content")
        if given.content and given.is_directory:
            raise BadRequest(f"inputs[{number}] has content, so it cannot be a DIRECTORY")
    for number, output in enumerate(task.outputs or ()):
        _check_output(output, f"outputs[{number}]")
    places.check(task)


def _check_numbers(task: Task) -> None:
    for name, most in _MOST.items():
        listed: Sequence[Any] = getattr(task, name) or ()
        if len(listed) > most:
            raise BadRequest(f"The task has {len(listed)} {name}; at most {most} are accepted")
    if len(task.name or "") > _LONGEST_NAME:
        raise BadRequest(f"The task's name has more than {_LONGEST_NAME} characters")


def _check_texts(task: Task) -> None:
    """See that all texts can be stored and shown: NUL and lone surrogates cannot."""
    for text in _texts(plain(task)):
        if "\0" in text:
            raise BadRequest("A text of the task contains a NUL character")
        try:
            text.encode()
        except UnicodeEncodeError:
            raise BadRequest("A text of the task is not UTF-8") from None


def _texts(value: Any) -> Iterator[str]:
    if isinstance(value, str):
        yield value
    elif isinstance(value, dict):
        for key, inner in value.items():
            yield key
            yield from _texts(inner)
    elif isinstance(value, list | tuple):
        for inner in value:
            yield from _texts(inner)


def _check_tags(tags: dict[str, str]) -> None:
    if len(tags) > _MOST_TAGS:
        raise BadRequest(f"The task has {len(tags)} tags; at most {_MOST_TAGS} are accepted")
    for name, value in tags.items():
        if len(name) + len(value) > _LONGEST_TAG:
            raise BadRequest(f"The tag {name[:80]!r} has more than {_LONGEST_TAG} characters")


def _check_executor(executor: Executor, what: str) -> None:
    if not executor.command or not executor.command[0]:
        raise BadRequest(f"{what}.command is empty")
    if _IMAGE.fullmatch(executor.image) is None:
        raise BadRequest(f"{what}.image is {executor.image[:80]!r}, which is no name of a container image")
    for name in executor.env or {}:
        if not name or "=" in name:
            raise BadRequest(f"{what}.env has {name[:80]!r}, which is no name of an environment variable")


def _check_resources(resources: TaskResources) -> None:
    if resources.cpu_cores is not None and not 0 <= resources.cpu_cores <= _MOST_CORES:
        raise BadRequest(f"resources.cpu_cores is {resources.cpu_cores}, but takes 1 to {_MOST_CORES}")
    for name in ("ram_gb", "disk_gb"):
        value = getattr(resources, name)
        if value is not None and not 0 <= value <= _MOST_GB:
            raise BadRequest(f"resources.{name} is {value:g}, but takes 0 to {_MOST_GB}")
    for zone in resources.zones or ():
        if _WORD.fullmatch(zone) is None:
            raise BadRequest(f"resources.zones has {zone[:80]!r}, which is no name of a site")


def _check_output(output: Output, what: str) -> None:
    if not output.url:
        raise BadRequest(f"{what}.url is empty")
    if output.has_wildcards:
        if not output.path_prefix:
            raise BadRequest(f"{what}.path has wildcards, so path_prefix is needed")
        if not output.path.startswith(output.path_prefix):
            raise BadRequest(f"{what}.path does not begin with its path_prefix")
        if any(sign in output.path_prefix for sign in "*?["):
            raise BadRequest(f"{what}.path_prefix has wildcards")


def _paths(task: Task) -> Iterator[tuple[str, str]]:
    """All paths of a task that have to be absolute and below ``/``."""
    for number, given in enumerate(task.inputs or ()):
        yield f"inputs[{number}].path", given.path
    for number, output in enumerate(task.outputs or ()):
        yield f"outputs[{number}].path", output.path
    for number, volume in enumerate(task.volumes or ()):
        yield f"volumes[{number}]", volume
    for number, executor in enumerate(task.executors):
        for name in ("stdin", "stdout", "stderr"):
            path = getattr(executor, name)
            if path:
                yield f"executors[{number}].{name}", path
        if executor.workdir and executor.workdir != "/":
            yield f"executors[{number}].workdir", executor.workdir


def _checked_parameter(key: str, value: str) -> str:
    name = key.lower()
    good = value.isascii() and value.removeprefix("-").isdigit() and len(value) < 10 if name in _NUMBERS else True
    if name in _NUMBERS - {"priority"}:
        good = good and not value.startswith("-")
    if name not in _NUMBERS:
        good = all(_WORD.fullmatch(word.strip()) for word in value.split(","))
    if not good:
        raise BadRequest(f"The backend parameter {key} is {value[:80]!r}, but takes {PARAMETERS[name]}")
    return value
