"""What has to hold whatever goes wrong, looked at from outside."""

from __future__ import annotations

import re
import time
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from campaign.clients import Ended
from campaign.combinations import Place
from campaign.scene import Scene
from campaign.witness import Marks
from fuzz import compare

_STRANGE = (
    "Traceback (most recent call last)",
    "internal error",
    "gridcwl itself failed",
    "Exception ignored",
    " object at 0x",
)
_UNNAMED = re.compile(r"\b[0-9a-f]{40}\b")
_PROBE = re.compile(r"[a-z0-9_]{8}")
_PATIENCE_S = 30.0


@dataclass(frozen=True)
class Expected:
    """What an undisturbed run makes.

    Attributes:
        outputs: the output object with what is in its files.
        jobs: how often each identity is started.
    """

    outputs: Any
    jobs: Counter[str]


@dataclass
class Ledger:
    """What was recorded as done when a client ended: it must never run again."""

    nonces: dict[str, str] = field(default_factory=dict)
    """Of finished jobs, by name."""
    at: Marks | None = None
    done: Counter[str] = field(default_factory=Counter)
    """Finished jobs at that moment, by identity."""

    def note(self, scene: Scene) -> None:
        """A client has ended: what does the journal know?"""
        recorded, marks = scene.recorded(), scene.marks()
        self.nonces = {**self.nonces, **{name: nonce for name, nonce in recorded.items() if nonce}}
        self.at = marks
        self.done = Counter(marks.identities[nonce] for nonce in recorded.values() if nonce in marks.identities)

    def again(self, scene: Scene, jobs: Counter[str], recorded: dict[str, str]) -> Iterator[str]:
        """Jobs that have run although they were recorded as done."""
        for name, nonce in self.nonces.items():
            if recorded.get(name) and recorded[name] != nonce:
                yield f"ran again although its result was recorded: {name}"
        if self.at is None:
            return
        marks = scene.marks()
        for identity, wanted in jobs.items():
            started = marks.started[identity] - self.at.started[identity]
            if started and self.done[identity] >= wanted:
                yield f"ran again although all of its kind were recorded: {identity}, {started} times"


def ended_right(ended: Ended, codes: tuple[int, ...], *, resumable: bool) -> Iterator[str]:
    """The exit code and the message."""
    if ended.code not in codes:
        yield f"exit code {ended.code} instead of {' or '.join(map(str, codes))}: {ended.stderr[-1500:]}"
    for text in _STRANGE:
        if text in ended.stderr or text in ended.stdout:
            yield f"a user sees {text!r}: {ended.stderr[-3000:]}"
    if ended.code > 0 and resumable and "gridcwl resume" not in ended.stderr:
        yield f"exit code {ended.code} without how to resume: {ended.stderr[-1500:]}"


def content(value: Any, read: Callable[[str], bytes]) -> Any:
    """An output object with what is in its files instead of where they are."""
    if isinstance(value, list):
        return sorted((content(item, read) for item in value), key=_is_unnamed)
    if isinstance(value, dict):
        name = _UNNAMED.sub("(unnamed)", str(value.get("basename")))
        if value.get("class") == "File":
            data = read(value["location"])
            if value.get("size") not in (None, len(data)):
                return {"file": name, "wrong size": value["size"]}
            others = [content(one, read) for one in value.get("secondaryFiles", ())]
            return {"file": name, "content": compare._text(data), "others": others, "format": value.get("format")}
        if value.get("class") == "Directory":
            listing = [content(one, read) for one in value.get("listing", ())]
            return {"folder": compare._OUTDIR.sub("out", name), "listing": sorted(listing, key=repr)}
        return {key: content(item, read) for key, item in value.items()}
    return _UNNAMED.sub("(unnamed)", value) if isinstance(value, str) else value


def _is_unnamed(item: Any) -> bool:
    return isinstance(item, dict) and item.get("file") == "(unnamed)"


def left_over(scene: Scene, place: Place) -> Iterator[str]:
    """Processes, containers, locks and temporary files of a run that is over."""
    if found := _lasting(lambda: [one.command[:200] for one in scene.processes()]):
        yield f"processes are left: {found}"
    if found := _lasting(place.containers):
        yield f"containers are left: {found}"
    folder = scene.folder()
    if folder is not None and folder.alive:
        yield "the run is still locked"
    # Python itself tries a folder for temporary files with an empty file of such a name.
    temporary = [path for path in scene.tmp.iterdir() if path.is_dir() or not _PROBE.fullmatch(path.name)]
    if found := sorted(str(path.relative_to(scene.desk)) for path in temporary):
        yield f"temporary files are left: {found}"
    yield from (f"an unfinished file is left: {path.relative_to(scene.desk)}" for path in _unfinished(scene))


def _unfinished(scene: Scene) -> Iterator[Path]:
    folders = [scene.state, scene.outdir, scene.desk / "cache"]
    for path in (path for folder in folders if folder.exists() for path in folder.rglob("*")):
        if path.name.endswith((".new", ".part", ".tmp", ".clean")) or path.name.startswith((".gridcwl-", ".tmp")):
            yield path
    extra = {path.name for path in scene.desk.iterdir() if path.name.startswith(".gridcwl")}
    yield from (scene.desk / name for name in extra)


def not_listed(outputs: Any, outdir: Path) -> Iterator[str]:
    """Files in the output directory that the output object does not name."""
    named: set[str] = set()

    def look(value: Any) -> None:
        if isinstance(value, list):
            for item in value:
                look(item)
        elif isinstance(value, dict):
            if value.get("class") in ("File", "Directory") and value.get("path"):
                named.add(str(value["path"]))
            look(list(value.values()))

    look(outputs)
    for path in outdir.rglob("*") if outdir.exists() else ():
        if path.is_file() and not any(str(one) in named for one in (path, *path.parents)):
            yield f"in the output directory, and not in the output object: {path.relative_to(outdir)}"


def _lasting(look: Callable[[], list[str]]) -> list[str]:
    """What is still there after a while."""
    end = time.monotonic() + _PATIENCE_S
    while (found := look()) and time.monotonic() < end:
        time.sleep(0.05)
    return found
