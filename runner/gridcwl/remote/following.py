"""A run at a service: its events, its end, its outputs."""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import tempfile
import threading
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any, get_args
from urllib.parse import unquote

import msgspec

from gridcwl.errors import BackendError, GridCWLError, RunCancelled, RunFailed, StoreError
from gridcwl.model import paths
from gridcwl.model.objects import changed, outermost
from gridcwl.remote.connection import NATIVE, WES, Connection, not_understood
from gridcwl.runs.events import Event, RunEnded
from gridcwl.runs.record.logs import JobLog

_KINDS: dict[str, type] = {kind.__name__: kind for kind in get_args(Event)}
ENDS = ("COMPLETE", "EXECUTOR_ERROR", "SYSTEM_ERROR", "CANCELED")
"""Final states."""
_ACTIVE = ("UNKNOWN", "QUEUED", "INITIALIZING", "RUNNING", "PAUSED", "CANCELING", "PREEMPTED")
_LOOK_EVERY_S = 1.0
_TRIES = 30
_TAIL_BYTES = 8192
_TAIL_LINES = 20


def event_of(plain: dict[str, Any]) -> Event | None:
    """An event as the service sends it; None for one that this version does not know."""
    kind = _KINDS.get(str(plain.pop("event", "")))
    if kind is None:
        return None
    try:
        event: Event = msgspec.convert(plain, kind, strict=False)
    except msgspec.ValidationError:
        return None
    return event


def plain_event(event: Event) -> dict[str, Any]:
    """An event as the service sends it."""
    return {"event": type(event).__name__, **msgspec.to_builtins(event)}


async def events(connection: Connection, run: str) -> AsyncIterator[Event]:
    """The events of a run until it has ended; a connection that breaks is made again.

    The service begins from the first event each time; one that was started again, from the first of a new session.

    Raises:
        BackendError: the service does not answer any more.
    """
    loop = asyncio.get_running_loop()
    seen, tries, session = 0, 0, ""
    while True:
        queue: asyncio.Queue[dict[str, Any] | Exception | None] = asyncio.Queue()
        left = threading.Event()

        def read(queue: asyncio.Queue[Any] = queue, left: threading.Event = left) -> None:
            end: Exception | None = None
            try:
                for plain in connection.events(run):
                    if left.is_set():
                        return
                    loop.call_soon_threadsafe(queue.put_nowait, plain)
            except Exception as error:  # noqa: BLE001  it is looked at below
                end = error
            with contextlib.suppress(RuntimeError):  # the loop is closed
                loop.call_soon_threadsafe(queue.put_nowait, end)

        threading.Thread(target=read, name="gridcwl-events", daemon=True).start()
        number = 0
        try:
            while isinstance(plain := await queue.get(), dict):
                number += 1
                tries = 0
                if (current := str(plain.pop("session", ""))) != session:
                    seen, session = 0, current
                if number <= seen and plain.get("event") != RunEnded.__name__:
                    continue
                seen = number
                if (event := event_of(plain)) is not None:
                    yield event
                    if isinstance(event, RunEnded):
                        return
        finally:
            left.set()
        tries += 1
        if tries > _TRIES:
            if isinstance(plain, GridCWLError):
                raise plain
            raise BackendError(
                f"The service {connection.url} sends no more events of {run}",
                remedy=f"Look at the run: gridcwl status --server {connection.url} {run}.",
            )
        await asyncio.sleep(_LOOK_EVERY_S)


async def ended(connection: Connection, run: str) -> dict[str, Any]:
    """The RunLog of a run, once it has ended."""
    while True:
        log = await asyncio.to_thread(connection.get, f"{WES}/runs/{run}")
        if log["state"] in ENDS:
            return dict(log)
        if log["state"] not in _ACTIVE:
            raise not_understood(f"The service {connection.url}", f": the state of {run} is {str(log['state'])[:40]!r}")
        await asyncio.sleep(_LOOK_EVERY_S)


def raise_end(connection: Connection, run: str, log: dict[str, Any], outputs: dict[str, Any]) -> None:
    """Raise what a run has ended with, unless all outputs are there.

    Raises:
        RunCancelled: it was cancelled.
        RunFailed: it failed; with the outputs that there are.
    """
    state, about = log.get("state"), log.get("run_log") or {}
    lines = tuple(str(line) for line in about.get("system_logs") or ())
    remedy = f"Fix the cause, then run: gridcwl resume --server {connection.url} {run}"
    if state == "CANCELED":
        raise RunCancelled(lines[0] if lines else "The run was cancelled", remedy="")
    if state != "COMPLETE":
        error = RunFailed(run, lines[:1], outputs, exit_code=int(about.get("exit_code") or 1))
        error.message = lines[0] if lines else error.message
        error.remedy = remedy
        raise error


def fetched(connection: Connection, outputs: dict[str, Any], folder: Path) -> dict[str, Any]:
    """The output object with all files of the service in a folder of this machine.

    Raises:
        StoreError: one cannot be fetched, or is not what the service says, or would replace another file.
    """
    outputs = changed(outputs, _without_path)
    folder.mkdir(parents=True, exist_ok=True)
    taken: set[Path] = set()
    for entry in outermost(outputs):
        _fetch(connection, entry, folder, taken)
    return outputs


def fetched_logs(connection: Connection, run: str, step: str | None) -> list[JobLog]:
    """The logs of a run's jobs, in files of a temporary folder."""
    found = connection.get(f"{NATIVE}/runs/{run}/logs", step=step)["logs"]
    folder = Path(tempfile.mkdtemp(prefix=f"gridcwl-logs-{run}-"))
    made = []
    for number, plain in enumerate(found):
        files: dict[str, Path | None] = {"stdout": None, "stderr": None}
        for stream in files:
            if plain.pop(stream, False):
                query = {"name": plain["name"], "attempt": plain["attempt"], "stream": stream}
                path = folder / f"{number}.{stream}"
                path.write_bytes(connection.text(f"{NATIVE}/runs/{run}/log", **query))
                files[stream] = path
        made.append(JobLog(**plain, stdout=files["stdout"], stderr=files["stderr"]))
    return made


def last_words(connection: Connection, run: str, name: str) -> tuple[str, str]:
    """The end of what a job's last attempt wrote to stderr, or to stdout if that is empty; and which of them it is."""
    with contextlib.suppress(GridCWLError), connection.reading():
        found = connection.get(f"{NATIVE}/runs/{run}/logs", step=name)["logs"]
        attempts = [log for log in found if log["name"] == name]
        for log in sorted(attempts, key=lambda one: int(one["attempt"]))[-1:]:
            for stream in ("stderr", "stdout"):
                if log.get(stream):
                    query = {"name": name, "attempt": log["attempt"], "stream": stream}
                    data = connection.text(f"{NATIVE}/runs/{run}/log", last=_TAIL_BYTES, **query)
                    text = "\n".join(data.decode("utf-8", "replace").rstrip("\n").splitlines()[-_TAIL_LINES:])
                    if text.strip():
                        return stream, text
    return "stderr", ""


def _without_path(entry: dict[str, Any]) -> None:
    entry.pop("path", None)


def _fetch(connection: Connection, entry: dict[str, Any], folder: Path, taken: set[Path]) -> None:
    location = str(entry.get("location") or "")
    what = "The name of an output"
    name = paths.basename(entry.get("basename") or unquote(location.rstrip("/").rpartition("/")[2]), what)
    ours = location.startswith(f"{connection.url}/")
    if entry["class"] == "Directory" and (ours or not location):
        target = folder / name
        if target in taken:
            return
        target.mkdir(exist_ok=True)
        for child in entry.get("listing") or ():
            _fetch(connection, child, target, taken)
        entry["location"] = target.resolve().as_uri()
        entry["path"] = str(target.resolve())
        return
    if ours:
        target = folder / name
        if target not in taken:
            _fetch_file(connection, location, target, entry)
            taken.add(target)
        entry["location"], entry["path"] = target.resolve().as_uri(), str(target.resolve())
    for other in entry.get("secondaryFiles") or ():
        _fetch(connection, other, folder, taken)


def _fetch_file(connection: Connection, url: str, target: Path, entry: dict[str, Any]) -> None:
    partial = target.with_name(f".{target.name[:200]}.gridcwl")
    wanted = str(entry.get("checksum") or "")
    if target.exists() and (not wanted or _sha1(target) != wanted):
        raise StoreError(
            f"The output {target} cannot be put in place: a file of that name exists", remedy="Choose another --outdir."
        )
    try:
        connection.download(url, partial)
        if wanted and _sha1(partial) != wanted:
            raise StoreError(f"The output {target.name} does not have the checksum that the service says")
        partial.replace(target)
    except OSError as error:
        raise StoreError(
            f"The output {target} cannot be written: {error.strerror}", remedy="Choose another --outdir."
        ) from error
    finally:
        partial.unlink(missing_ok=True)


def _sha1(path: Path) -> str:
    with path.open("rb") as stream:
        return f"sha1${hashlib.file_digest(stream, 'sha1').hexdigest()}"
