"""Brings the outputs of a task that has ended to the URLs that it names. Blocking; doing it again changes nothing."""

from __future__ import annotations

import contextlib
import os
import secrets
import shutil
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import quote

from gridcwl import imports
from gridcwl.errors import StoreError, UnsafePath
from gridcwl.model import JobResult, ProducedFile, paths
from gridcwl.service.folders import SubmittedFolder
from gridcwl.service.problems import BadRequest
from gridcwl.service.tes import document, urls
from gridcwl.service.tes.places import Places, normal, places
from gridcwl.service.tes.request import Output, Task
from gridcwl.worker.globs import parse

_PATIENCE_S = 300


@dataclass(frozen=True, slots=True)
class _Made:
    """One file that the task has made."""

    path: str
    """In the container."""
    location: str
    """Where gridcwl has published it."""
    local: str
    """The path of its copy on this machine; empty if there is none."""
    rest: str
    """What is added to the output's URL; empty for the URL itself."""
    size: int


def deliver(
    task: Task, outputs: Mapping[str, Any], result: JobResult, folder: SubmittedFolder, allowed: urls.Allowed
) -> list[dict[str, str]]:
    """Copy all outputs; returns them as ``tesOutputFileLog``.

    Args:
        task: as it was accepted.
        outputs: of its run.
        result: of its job: it has the paths of what was made.
        folder: of the run; local outputs are published there.
        allowed: where outputs may go.

    Raises:
        StoreError: an output is missing, or cannot be copied.
    """
    try:
        return list(_delivered_all(task, outputs, result, folder, allowed))
    except UnsafePath as error:
        raise StoreError(error.message) from None


def _delivered_all(
    task: Task, outputs: Mapping[str, Any], result: JobResult, folder: SubmittedFolder, allowed: urls.Allowed
) -> Iterator[dict[str, str]]:
    found = places(task)
    for number, output in enumerate(task.outputs or ()):
        value = outputs.get(f"o{number}")
        if value is None:
            kind = "directory" if output.is_directory else "file"
            raise StoreError(f"The task has made no {kind} {paths.quoted(output.path)}, which is one of its outputs")
        for made in _files(output, value, result, found, folder):
            yield _delivered(made, output, folder, allowed)


def _files(output: Output, value: Any, result: JobResult, found: Places, folder: SubmittedFolder) -> Iterator[_Made]:
    top = normal(output.path)
    if not output.has_wildcards:
        yield from _below(value, top, "", folder)
        return
    prefix = normal(str(output.path_prefix))
    entries = list(value)
    for file in _matched(result, document.glob(output, found)):
        entry = _taken(entries, file)
        seen = found.outside(file.path)
        yield from _below(entry, seen, seen[len(prefix) :].lstrip("/"), folder)


def _matched(result: JobResult, pattern: str) -> list[ProducedFile]:
    """What a job has made that a pattern means."""
    glob = parse(pattern, "/")
    found = []
    for file in result.files:
        parts = file.path.split("/")
        if len(parts) == len(glob.parts) and all(map(lambda part, name: part.matches(name), glob.parts, parts)):
            found.append(file)
    return found


def _taken(entries: list[Any], file: ProducedFile) -> Any:
    """The published form of what a job has made: one with the same bytes, or for a directory with the same name."""
    name = file.path.rpartition("/")[2]
    checksum = None if file.sha1 is None else f"sha1${file.sha1}"
    for same_name in (True, False):  # where two have one name, one of them is published under another
        for index, entry in enumerate(entries):
            if (entry["class"] == "Directory") != (file.kind == "directory"):
                continue
            fits = checksum is None or entry.get("checksum") in (None, checksum)
            if fits and (entry.get("basename") == name or not same_name):
                return entries.pop(index)
    raise StoreError(f"The output {paths.quoted(name)} was not published")


def _below(entry: Mapping[str, Any], path: str, rest: str, folder: SubmittedFolder) -> Iterator[_Made]:
    """A File; or all Files in a Directory."""
    location, local = str(entry.get("location") or ""), str(entry.get("path") or "")
    if location.startswith("file:"):
        local = paths.file_path(location, "The location of an output")
    if entry["class"] == "File":
        yield _Made(path, location, local, rest, int(entry.get("size") or 0))
        return
    if location.startswith("file:"):
        top = _inside(local, folder)
        for parent, names, files in os.walk(top):
            names.sort()
            for file in (Path(parent) / name for name in sorted(files)):
                relative = file.relative_to(top).as_posix()
                added = f"{rest}/{relative}".lstrip("/")
                yield _Made(f"{path}/{relative}", file.as_uri(), str(file), added, file.stat().st_size)
        return
    for inner in entry.get("listing") or ():
        name = paths.basename(inner.get("basename"), "The name of an output")
        yield from _below(inner, f"{path}/{name}", f"{rest}/{name}".lstrip("/"), folder)


def _delivered(made: _Made, output: Output, folder: SubmittedFolder, allowed: urls.Allowed) -> dict[str, str]:
    kind = urls.scheme(output.url)
    if kind in allowed.schemes:
        if urls.scheme(made.location) not in allowed.schemes:
            raise StoreError(f"The output {paths.quoted(made.path)} is not in the store, where it was to be")
        return _log(made, made.location)
    if not made.local:
        raise StoreError(
            f"The output {paths.quoted(made.path)} is in the store only", remedy="Let the service download outputs."
        )
    source = _inside(made.local, folder)
    if kind == "file":
        url = _copied(made, output, source, allowed)
    else:
        url = f"{output.url.rstrip('/')}/{quote(made.rest)}" if made.rest else output.url
        _put(source, url, allowed)
    return _log(made, url)


def _log(made: _Made, url: str) -> dict[str, str]:
    return {"url": url, "path": made.path, "size_bytes": str(made.size)}


def _inside(local: str, folder: SubmittedFolder) -> Path:
    """A published output, with nothing outside the run's folder behind it.

    Raises:
        StoreError: it is not there.
    """
    path = Path(os.path.realpath(local))
    if not paths.below(str(path), os.path.realpath(folder.outputs)) or not path.exists():
        raise StoreError(f"The output {paths.quoted(local)} is not in the run's output directory")
    return path


def _copied(made: _Made, output: Output, source: Path, allowed: urls.Allowed) -> str:
    what = "The URL of an output"
    try:
        top = urls.file_of(output.url, what)
        target = paths.join(top, made.rest, what) if made.rest else Path(top)
        urls.output_folder(str(target), allowed.outputs, what)
        target.parent.mkdir(parents=True, exist_ok=True)
        # again, as folders on its way may have become links; the name is new, so nothing is followed
        place = urls.output_folder(str(target.parent), allowed.outputs, what).resolve()
        _copy(source, place / target.name)
    except (BadRequest, UnsafePath) as error:
        raise StoreError(error.message) from None
    except OSError as error:
        raise StoreError(f"{what}, {paths.quoted(output.url)}, cannot be written to: {error.strerror}") from None
    return target.as_uri()


def _copy(source: Path, target: Path) -> None:
    """Copy a file; it appears under its name whole or not at all."""
    part = target.with_name(f".{target.name[:100]}.{secrets.token_hex(4)}.part")
    try:
        with source.open("rb") as reading, part.open("xb") as writing:
            shutil.copyfileobj(reading, writing, 1 << 20)
        part.replace(target)
    finally:
        with contextlib.suppress(FileNotFoundError):
            part.unlink()


def _put(source: Path, url: str, allowed: urls.Allowed) -> None:
    imports.load("requests")
    import requests

    from gridcwl.cwl.anonymous import AnonymousSession

    if not allowed.outputs.allows_url(url):
        raise StoreError(f"The output's URL {paths.quoted(url)} is not below a URL that this service writes to")
    try:
        with source.open("rb") as stream, AnonymousSession() as session:
            answer = session.put(url, data=stream, timeout=_PATIENCE_S, allow_redirects=False)
            answer.close()
    except (requests.RequestException, OSError) as error:
        raise StoreError(f"The output could not be written to {paths.quoted(url)}: {error}") from None
    if not 200 <= answer.status_code < 300:
        raise StoreError(
            f"The output could not be written to {paths.quoted(url)}: the server answers {answer.status_code}"
        )
