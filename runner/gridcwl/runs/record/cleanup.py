"""The working folder of a run, and what is left after it: what is removed, what stays, where published files went."""

from __future__ import annotations

import contextlib
import os
import re
import secrets
import shutil
import stat
from collections.abc import Callable, Iterable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import IO, Any

from gridcwl.errors import StoreError, UnsafePath
from gridcwl.model import JobResult, RunId, paths
from gridcwl.worker.removing import remove_tree

_RANDOM = re.compile(r"[a-z0-9_]{8}\Z")
"""The end of a working folder's name."""
_LETTERS = "abcdefghijklmnopqrstuvwxyz0123456789_"
_MARKER = ".gridcwl-run"
"""In each working folder: a file with the id of its run."""
_MARKER_BYTES = 256
_STREAMS = ("stdout", "stderr")
_END_BYTES = 64 << 20
_LONGEST_LINE = 16 << 20  # characters of a log that are searched for secrets in one piece


def working_folder(prefix: str, run: RunId, note: Callable[[Path], None] = lambda _path: None) -> Path:
    """A new folder for a run's jobs, with the marker that says whose it is.

    Args:
        prefix: how its path begins.
        run: whose it is.
        note: called with its path before it is made: whoever is killed in between has not lost it.

    Raises:
        StoreError: it cannot be made.
    """
    parent, name = os.path.split(prefix)
    try:
        made = _new_folder(Path(parent or ".").resolve(), name, note)
        try:
            (made / _MARKER).write_text(f"{run}\n")
        except OSError:
            remove_tree(made)
            raise
    except OSError as error:
        raise StoreError(
            f"No working folder can be made in {parent or '.'}: {error.strerror}",
            remedy="Choose another --tmpdir-prefix.",
        ) from error
    return made


def _new_folder(parent: Path, prefix: str, note: Callable[[Path], None]) -> Path:
    """As ``mkdtemp``, but its name is known before it is made."""
    while True:
        made = parent / f"{prefix}{''.join(secrets.choice(_LETTERS) for _ in range(8))}"
        note(made)
        with contextlib.suppress(FileExistsError):
            made.mkdir(mode=0o700)
            return made


def remove_unused(working: Path) -> None:
    """Remove a working folder that nothing was put into, even if it was killed before it had its marker."""
    with contextlib.suppress(OSError, ValueError):
        if _is_private(working) and os.listdir(working) in ([], [_MARKER]):  # noqa: PTH208
            (working / _MARKER).unlink(missing_ok=True)
            working.rmdir()


def remove_but_logs(working: Path, logs: Path) -> None:
    """Remove a working folder; the logs of tools go to ``logs``, in folders of the jobs' names."""
    for entry in working.iterdir():
        for stream in _STREAMS:
            _keep(entry / f"{stream}.log", logs / entry.name / f"{stream}.log")
            for shelved in entry.glob(f"outputs/*.{stream}_log"):  # of a job whose folders others have got since
                _keep(shelved, logs / shelved.name.removesuffix(f".{stream}_log") / f"{stream}.log")
        if entry.is_dir() and not entry.is_symlink():
            remove_tree(entry)
    remove_tree(working)  # with the marker, without which nobody would know what is left after a kill


def remove_failed(working: Path, folders: Iterable[str], logs: Path) -> None:
    """Remove the folders of attempts that did not succeed; the logs of tools go to ``logs`` as well.

    What has succeeded stays: a run that is resumed takes it from there.
    """
    for name in filter(is_job_folder, folders):
        for stream in _STREAMS:
            _keep(working / name / f"{stream}.log", logs / name / f"{stream}.log")
        remove_tree(working / name)
    for recycled in working.glob("recycled*"):  # gridcwl.worker.recycle: what waits there for other jobs
        remove_tree(recycled / "empty")
        with contextlib.suppress(OSError):
            (recycled / "outputs").rmdir()
        with contextlib.suppress(OSError):
            recycled.rmdir()


def is_job_folder(name: object) -> bool:
    """Whether a folder of a job can have this name, which a journal has: one that leads elsewhere is never removed."""
    try:
        return bool(paths.basename(name, "The name of a job's folder"))
    except UnsafePath:
        return False


def is_working_folder(path: Path, run: RunId) -> bool:
    """Whether this is the working folder of the run: named as ``mkdtemp`` does, private, and marked as this run's.

    Nothing else is removed, whatever a journal names.
    """
    return _is_private(path) and _marked(path / _MARKER) == f"{run}\n".encode()


def _is_private(path: Path) -> bool:
    """Whether it is a folder of this user's, named and closed to others as working folders are."""
    try:
        about = path.lstat()
    except (OSError, ValueError):
        return False
    private = stat.S_ISDIR(about.st_mode) and about.st_uid == os.geteuid() and not about.st_mode & 0o077
    return private and path.is_absolute() and not paths.dotted(path.parts) and _RANDOM.search(path.name) is not None


def _marked(marker: Path) -> bytes:
    """What the marker says; nothing if it is a link, a pipe or another user's."""
    try:
        descriptor = os.open(marker, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    except OSError:
        return b""
    try:
        about = os.fstat(descriptor)
        own = stat.S_ISREG(about.st_mode) and about.st_uid == os.geteuid()
        return os.read(descriptor, _MARKER_BYTES) if own else b""
    except OSError:
        return b""
    finally:
        os.close(descriptor)


def move_logs_of(result: JobResult, logs: Path) -> JobResult:
    """Move the logs of a failed attempt to the run's folder, before they are reported.

    The log in the job's folder stays; of a large one on another disk only the end gets a second place. A stream that is
    empty has no log then: the job's folder is removed with it.
    """
    kept: dict[str, Any] = {}
    for stream in _STREAMS:
        log = getattr(result, f"{stream}_log")
        target = logs / f"{stream}.log"
        kept[f"{stream}_log"] = None
        with contextlib.suppress(OSError):
            if log and Path(log).stat().st_size:
                target.parent.mkdir(parents=True, exist_ok=True)
                _second_name(Path(log), target)
                kept[f"{stream}_log"] = str(target)
    return replace(result, **kept)


def _second_name(log: Path, target: Path) -> None:
    try:
        target.unlink(missing_ok=True)
        target.hardlink_to(log)
    except OSError:  # on another disk
        with log.open("rb") as whole, target.open("wb") as end:
            whole.seek(max(0, log.stat().st_size - _END_BYTES))
            shutil.copyfileobj(whole, end)


def _keep(log: Path, kept: Path) -> None:
    try:
        if log.stat().st_size:
            kept.parent.mkdir(parents=True, exist_ok=True)
            shutil.move(log, kept)
    except OSError:
        return  # a log that cannot be kept is no reason to call the run a failure


def mask_secrets(result: JobResult, hide: Callable[[str], str]) -> JobResult:
    """Mask secrets in the output of a tool: in the texts of its result, and in the logs that stay.

    A stream that the document makes an output is data, and left as it is.
    """
    for stream in _STREAMS:
        log = getattr(result, f"{stream}_log")
        if log and (Path(log).name == f"{stream}.log" or Path(log).suffix == f".{stream}_log"):
            with contextlib.suppress(OSError):
                _mask_lines(Path(log), hide)
    return replace(result, reason=hide(result.reason), stderr_tail=hide(result.stderr_tail))


def _mask_lines(log: Path, hide: Callable[[str], str]) -> None:
    if not log.stat().st_size:
        return
    clean = log.with_name(f"{log.name}.clean")
    as_it_is: dict[str, Any] = {"encoding": "utf-8", "errors": "surrogateescape", "newline": ""}
    with log.open(**as_it_is) as lines, clean.open("w", **as_it_is) as kept:
        for line in iter(lambda: lines.readline(_LONGEST_LINE), ""):
            kept.write(hide(line) if len(line) < _LONGEST_LINE or line.endswith("\n") else _skip_line(lines))
    clean.replace(log)


def _skip_line(lines: IO[str]) -> str:
    """Pass by the rest of a line that is too long for memory: a secret could be anywhere in it."""
    while rest := lines.readline(_LONGEST_LINE):
        if rest.endswith("\n"):
            break
    return f"[gridcwl: a line of more than {_LONGEST_LINE} characters is left out: the run has secrets]\n"


def moved(outputs: Any, published: Any) -> dict[str, str]:
    """Where each File and Directory of an output object was, and where it was published."""
    return dict(_pairs(outputs, published))


def _pairs(old: Any, new: Any) -> Iterator[tuple[str, str]]:
    if isinstance(old, list) and isinstance(new, list):
        for one, other in zip(old, new, strict=False):
            yield from _pairs(one, other)
    elif isinstance(old, dict) and isinstance(new, dict):
        if old.get("class") in ("File", "Directory"):
            if (before := old.get("location")) and (after := new.get("location")) and before != after:
                yield before, after
            if old["class"] == "Directory":
                yield from _listed(old, new)
                return
        for name, value in old.items():
            if isinstance(value, dict | list):
                yield from _pairs(value, new.get(name))


def _listed(old: Any, new: Any) -> Iterator[tuple[str, str]]:
    known = {entry.get("basename"): entry for entry in new.get("listing") or ()}
    for entry in old.get("listing") or ():
        yield from _pairs(entry, known.get(entry.get("basename")))
