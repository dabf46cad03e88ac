"""Where a task's inputs may come from and its outputs may go: folders and URLs of the operator's, and the store."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from gridcwl.errors import UnsafePath
from gridcwl.model import paths
from gridcwl.model.confinement import Confinement
from gridcwl.service.problems import BadRequest
from gridcwl.service.tes.request import Task


@dataclass(frozen=True, slots=True)
class Allowed:
    """What the operator allows."""

    inputs: Confinement
    outputs: Confinement
    schemes: tuple[str, ...]
    """Of files that the store knows: ``rucio``."""


def check(task: Task, allowed: Allowed) -> None:
    """See that all URLs of a task are acceptable. Nothing is looked up.

    Raises:
        BadRequest: one is not; naming it.
    """
    for number, given in enumerate(task.inputs or ()):
        if not given.content:
            _check_input(str(given.url), f"inputs[{number}].url", allowed, directory=given.is_directory)
    datasets = set()
    for number, output in enumerate(task.outputs or ()):
        what = f"outputs[{number}].url"
        if scheme(output.url) in allowed.schemes:
            datasets.add(dataset(output.url, what))
        else:
            _check_output(output.url, what, allowed)
    if len(datasets) > 1:
        raise BadRequest(f"The task's outputs are to be in {len(datasets)} datasets; one is supported")


def scheme(url: str) -> str:
    """The scheme of a URL, in small letters; ``file`` for an absolute path, empty for what is no URL."""
    if url.startswith("/"):
        return "file"
    before, sign, _ = url.partition(":")
    return before.lower() if sign and "/" not in before else ""


def file_of(url: str, what: str) -> str:
    """The absolute path in a ``file`` URL, or the path itself.

    Raises:
        BadRequest: it is not acceptable.
    """
    try:
        return paths.absolute(url, what) if url.startswith("/") else paths.file_path(url, what)
    except UnsafePath as error:
        raise BadRequest(error.message) from None


def dataset(url: str, what: str = "A URL") -> str:
    """The ``scope:name`` of a dataset in the store: of ``rucio://SCOPE/NAME``.

    Raises:
        BadRequest: there is none in it.
    """
    scope, _, name = url.partition("://")[2].strip("/").partition("/")
    try:
        paths.basename(scope, what)
        paths.relative(name, what)
    except UnsafePath:
        raise BadRequest(f"{what} is {paths.quoted(url)}, but takes SCHEME://SCOPE/DATASET") from None
    return f"{scope}:{name}"


def output_folder(path: str, roots: Confinement, what: str) -> Path:
    """A path below one of the folders that outputs may go to, symbolic links followed.

    Raises:
        BadRequest: it is below none.
    """
    if not roots.allows_file(path):
        raise BadRequest(f"{what} is {paths.quoted(path)}, which is not below a folder that this service writes to")
    return Path(path)


def _check_input(url: str, what: str, allowed: Allowed, *, directory: bool) -> None:
    kind = scheme(url)
    if kind == "file":
        if not allowed.inputs.allows_file(file_of(url, what)):
            # the same sentence whether it is there or not
            raise BadRequest(f"{what} is {paths.quoted(url)}, which is not below a folder that this service reads")
    elif kind in ("http", "https"):
        if directory:
            raise BadRequest(f"{what} is {paths.quoted(url)}, but a DIRECTORY cannot be fetched by {kind}")
        if not allowed.inputs.allows_url(url):
            raise BadRequest(f"{what} is {paths.quoted(url)}, which is not below a URL that this service fetches from")
    elif kind not in allowed.schemes:
        raise BadRequest(f"{what} is {paths.quoted(url)}, a kind of URL that this service does not read")


def _check_output(url: str, what: str, allowed: Allowed) -> None:
    kind = scheme(url)
    if kind == "file":
        output_folder(file_of(url, what), allowed.outputs, what)
    elif kind in ("http", "https"):
        if not allowed.outputs.allows_url(url):
            raise BadRequest(f"{what} is {paths.quoted(url)}, which is not below a URL that this service writes to")
    else:
        raise BadRequest(f"{what} is {paths.quoted(url)}, a kind of URL that this service does not write to")
