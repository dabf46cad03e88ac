"""After a run succeeded: what is taken away, what stays, and where published files went."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

_STREAMS = ("stdout", "stderr")


def keep_logs(working: Path, logs: Path) -> None:
    """Remove a working folder; what tools said goes to ``logs``, in folders of the jobs' names."""
    for entry in working.iterdir():
        for stream in _STREAMS:
            _keep(entry / f"{stream}.log", logs / entry.name / f"{stream}.log")
            for shelved in entry.glob(f"outputs/*.{stream}_log"):  # of a job whose folders others have got since
                _keep(shelved, logs / shelved.name.removesuffix(f".{stream}_log") / f"{stream}.log")
    shutil.rmtree(working, ignore_errors=True)


def _keep(log: Path, kept: Path) -> None:
    try:
        if log.stat().st_size:
            kept.parent.mkdir(parents=True, exist_ok=True)
            shutil.move(log, kept)
    except OSError:
        return  # a log that cannot be kept is no reason to call the run a failure


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
