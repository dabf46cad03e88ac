"""Lineage of a file: which job made it, of what, back to files that no run has made.

The user's own journals are looked at first; a store's metadata say the rest, across runs and users.
"""

from __future__ import annotations

import hashlib
import json
import os
import pwd
import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import unquote

from gridcwl import plugins
from gridcwl.errors import ConfigError, StoreError
from gridcwl.model import JobResult
from gridcwl.model.objects import entries
from gridcwl.runs.provenance.actions import JobFacts, image_in, iso, times
from gridcwl.runs.provenance.stored import origins, store_with
from gridcwl.runs.record.folder import RunFolder, all_folders
from gridcwl.runs.record.history import History
from gridcwl.runs.record.journal import row_id
from gridcwl.runs.record.journal_file import JournalError
from gridcwl.runs.record.journal_rows import JobRow
from gridcwl.runs.reuse.checksums import local_path
from gridcwl.stores.local import uri
from gridcwl.stores.reports import Origin
from gridcwl.worker.failure import crossed_out, printable

_JOB = re.compile(r"(?P<run>\d{8}-\d{6}-[0-9a-f]{6})-(?P<session>\d+)-(?P<number>\d+)-\d+")
_IN_NAME = re.compile(r"(?P<run>\d{8}-\d{6}-[0-9a-f]{6})(?:[./].*)?[./]j(?P<session>\d+)-(?P<number>\d+)-\d+[./]")
_UPLOADED = re.compile(r"[./]s(?P<sha1>[0-9a-f]{40})[./]")
MOST_FILES = 20_000
_COMMAND = 300


@dataclass(frozen=True, slots=True)
class DataFile:
    """A file, or a Directory."""

    id: str
    """Its URL; the one under which the run that made it knew it."""
    name: str
    size: int | None = None
    checksum: str = ""
    """As CWL writes it: ``sha1$...``."""
    location: str = ""
    """Where it is now, if that is somewhere else."""
    made_by: str = ""
    """The activity that made it; empty if no run is known to have."""
    account: str = ""
    """Who made it known to a store."""
    created: str = ""


@dataclass(frozen=True, slots=True)
class Activity:
    """A job."""

    id: str
    """Run and job: ``20261129-081500-1a2b3c/1-7``."""
    run: str
    step: str
    name: str
    document: str = ""
    tool: str = ""
    image: str = ""
    digest: str = ""
    account: str = ""
    started: str = ""
    ended: str = ""
    site: str = ""
    known_from: str = "journal"
    inputs: tuple[tuple[str, str], ...] = ()
    """Names of inputs, as far as they are known, and ids of files."""
    parameters: Mapping[str, Any] = field(default_factory=dict)
    """Inputs that are no files."""
    unlisted: int = 0
    """Inputs that nobody has recorded."""


@dataclass(slots=True)
class Lineage:
    """A file and all that it came from."""

    target: str
    files: dict[str, DataFile] = field(default_factory=dict)
    activities: dict[str, Activity] = field(default_factory=dict)
    complete: bool = True
    """False if there was more than is followed."""

    def plain(self) -> dict[str, Any]:
        """For machines."""
        return {
            "target": self.target,
            "complete": self.complete,
            "files": [{**_fields(file), "made_by": file.made_by or None} for file in self.files.values()],
            "activities": [
                {**_fields(one), "inputs": [{"input": name, "file": id_} for name, id_ in one.inputs]}
                for one in self.activities.values()
            ],
        }


def _fields(value: Any) -> dict[str, Any]:
    return {name: getattr(value, name) for name in value.__dataclass_fields__}


def lineage_of(word: str, state_dir: Path, depth: int | None = None) -> Lineage:
    """The lineage of a file.

    Args:
        word: a path, ``rucio://SCOPE/NAME``, or ``SCOPE:NAME``.
        state_dir: where this user's runs are.
        depth: how many jobs are followed back, one after the other; None for all.

    Raises:
        ConfigError: there is no such file.
        StoreError: a store does not answer.
    """
    with ExitStack() as stack:
        search = _Search(_Journals(state_dir, stack))
        search.target = search.begin(word)
        search.found = Lineage(search.target)
        frontier, steps = [search.found.target], 0
        while frontier and (depth is None or steps < depth):
            frontier = search.follow(frontier)
            steps += 1
        search.found.complete = search.found.complete and not frontier
        if frontier:
            search.describe(frontier)
        return search.found


@dataclass(slots=True)
class _Made:
    """A job that made a file, and the file in its result."""

    history: History
    folder: RunFolder
    row: JobRow
    result: JobResult

    @property
    def id(self) -> str:
        return f"{self.folder.run}/{self.row.job.rpartition(self.folder.run)[2].lstrip('-') or self.row.job}"


@dataclass(slots=True)
class _Journals:
    """The user's own runs."""

    state_dir: Path
    stack: ExitStack
    _open: dict[str, History | None] = field(default_factory=dict)

    def of(self, run: str) -> History | None:
        """The journal of a run, if it is this user's."""
        if run not in self._open:
            self._open[run] = None
            with suppress(JournalError, StoreError):
                history = History(self.state_dir / "runs" / run / "journal.db")
                self.stack.callback(history.close)
                self._open[run] = history
        return self._open[run]

    def by_location(self, url: str) -> _Made | None:
        """The job that left a file at this place, by the place's name."""
        for pattern in (_JOB, _IN_NAME):
            for found in pattern.finditer(unquote(url)):
                history = self.of(found["run"])
                if history is not None:
                    made = self._made(history, found["run"], row_id(int(found["session"]), int(found["number"])))
                    if made is not None:
                        return made
        return None

    def by_place(self, url: str) -> tuple[_Made, str] | None:
        """The job whose file was published there, and the place where the job had left it."""
        for folder in all_folders(self.state_dir):
            history = self.of(folder.run)
            for old in history.moved_to(url) if history is not None else ():
                if (made := self.by_location(old)) is not None:
                    return made, old
        return None

    def by_sha1(self, sha1: str, name: str = "") -> tuple[_Made, str] | None:
        """The latest job that made a file with these bytes, and this name if one is given; and the file's place."""
        for folder in all_folders(self.state_dir):
            history = self.of(folder.run)
            row = history.maker_of_bytes(sha1) if history is not None else None
            if history is not None and row is not None and (made := self._made(history, folder.run, row)) is not None:
                equal = [file for file in made.result.files if file.sha1 == sha1]
                named = [file for file in equal if os.path.basename(file.path) == name]  # noqa: PTH119
                if named or (equal and not name):
                    return made, (named or equal)[0].location
        return None

    def _made(self, history: History, run: str, row: int) -> _Made | None:
        found = next(iter(history.jobs(where=f"id = {row}")), None)
        if found is None or found.outcome != "success" or not (attempts := history.attempts(row)):
            return None
        return _Made(
            history, RunFolder(self.state_dir / "runs" / run), found, history.result(row, attempts[-1].attempt)
        )


@dataclass(slots=True)
class _Search:
    journals: _Journals
    found: Lineage = field(init=False)
    target: str = ""

    def begin(self, word: str) -> str:
        """The URL of what the user means."""
        path = Path(word)
        if path.exists():
            return uri(path.absolute())
        if word.startswith("file://"):
            return word
        name = word if "://" in word else ""
        if not name and (store := plugins.store_of_name(word)):
            scope, _, rest = word.removeprefix(f"{store}:").partition(":")
            name = f"{store}://{scope}/{rest}"
        if not name or store_with("origins", name) is None:
            raise ConfigError(
                f"There is no file {word}", remedy="Give a path, or a file in Rucio: rucio://SCOPE/NAME or SCOPE:NAME."
            )
        return name

    def follow(self, frontier: Sequence[str]) -> list[str]:
        """Find out who made these files; returns the files that were read for them."""
        ahead: list[str] = []
        unknown: list[str] = []
        for url in dict.fromkeys(frontier):
            if url in self.found.files:
                continue
            if len(self.found.files) >= MOST_FILES:
                self.found.complete = False
                break
            made = self._own(url)
            if made is None:
                unknown.append(url)
                continue
            ahead += self._noted(*made, url)
        ahead += self._stored(unknown)
        return ahead

    def describe(self, urls: Sequence[str]) -> None:
        """Note files that are not followed further."""
        for url in urls:
            self.found.files.setdefault(url, _here(url))

    # -- own runs ------------------------------------------------------------------------------------------------------

    def _own(self, url: str) -> tuple[_Made, str] | None:
        """The job of this user that made a file, and where it left it."""
        made = self.journals.by_location(url)
        if made is not None:
            return made, url
        path = local_path(url)
        if path is None:
            uploaded = _UPLOADED.search(url)
            return self.journals.by_sha1(uploaded["sha1"], _plain_name(url)) if uploaded else None
        placed = self.journals.by_place(url)
        if placed is not None and _same(path, placed):
            return placed
        if os.path.isfile(path):  # noqa: PTH113
            # elsewhere equal bytes may be chance: only of the file itself a copy under any name is recognized
            name = "" if url == self.target else os.path.basename(path)  # noqa: PTH119
            return self.journals.by_sha1(_sha1(path), name)
        return None

    def _noted(self, made: _Made, place: str, url: str) -> list[str]:
        """Note a file and the job that made it; returns the job's inputs, if they are new."""
        file = next((one for one in made.result.files if one.location == place), None)
        new = made.id not in self.found.activities
        if new:
            self.found.activities[made.id] = _activity(made)
        activity = self.found.activities[made.id]
        self.found.files[url] = DataFile(
            url,
            printable(os.path.basename(file.path if file is not None else unquote(place.rstrip("/")))),  # noqa: PTH119
            file.size if file is not None and file.kind == "file" else None,
            f"sha1${file.sha1}" if file is not None and file.sha1 else "",
            "" if url == place else place,
            made.id,
            activity.account,
            activity.ended,
        )
        return [id_ for _, id_ in activity.inputs] if new else []

    # -- stores --------------------------------------------------------------------------------------------------------

    def _stored(self, urls: Sequence[str]) -> list[str]:
        known = origins([url for url in urls if store_with("origins", url) is not None])
        ahead: list[str] = []
        for url in urls:
            origin = known.get(url)
            if origin is None:
                if url == self.found.target and local_path(url) is None:
                    raise ConfigError(f"There is no file {url}")
                self.found.files[url] = _here(url)
                continue
            maker = f"{origin.run}/{origin.job}" if origin.run and origin.job else ""
            if maker and maker not in self.found.activities:
                self.found.activities[maker] = _recorded(maker, origin)
                ahead += origin.inputs
            name = os.path.basename(_plain_name(url))  # noqa: PTH119
            self.found.files[url] = DataFile(
                url, name, origin.size, origin.checksum, "", maker, origin.account, origin.created
            )
        return ahead


def _plain_name(url: str) -> str:
    """The name that a tool gave to a file in Rucio."""
    from gridcwl.worker.naming import path_in

    return path_in(unquote(url.split("/", 3)[-1]))


def _recorded(id_: str, origin: Origin) -> Activity:
    return Activity(
        id_, origin.run, origin.step, origin.step, origin.document, origin.tool, origin.image, origin.digest,
        origin.account, "", origin.created, "", "metadata", tuple(("", url) for url in origin.inputs),
        unlisted=origin.unlisted,
    )  # fmt: skip


def _activity(made: _Made) -> Activity:
    history, row = made.history, made.row
    last = history.attempts(row.row)[-1]
    description = history.description(row.row)
    facts = JobFacts(row, last, made.result, image_in(description.common))
    start, end = times(facts)
    binding = history.binding(row)
    inputs, parameters = _inputs(binding.inputs if binding is not None else {})
    command = " ".join(map(str, json.loads(description.own).get("command", ())))
    usage = made.result.usage
    return Activity(
        made.id,
        made.folder.run,
        row.step,
        row.name,
        Path(str(history.meta("document") or "")).name,
        command[:_COMMAND],
        facts.image,
        made.result.image,
        _owner(made.folder),
        iso(start) or "",
        iso(end) or "",
        (usage.site or usage.host) if usage is not None else "",
        "journal",
        tuple(inputs),
        parameters,
    )


def _inputs(values: Mapping[str, Any]) -> tuple[list[tuple[str, str]], dict[str, Any]]:
    files: dict[tuple[str, str], None] = {}
    parameters: dict[str, Any] = {}
    for name, value in values.items():
        some = False
        for entry in entries(value):
            some = True
            location = str(entry.get("location") or "_:")
            if not location.startswith("_:"):
                files[name, crossed_out(location).rstrip("/")] = None
        if not some and value is not None:
            parameters[name] = value
    return list(files), parameters


def _owner(folder: RunFolder) -> str:
    try:
        return pwd.getpwuid(folder.journal.stat().st_uid).pw_name
    except (KeyError, OSError):
        return ""


def _here(url: str) -> DataFile:
    """A file that no run is known to have made."""
    path = local_path(url)
    if path is None or not os.path.isfile(path):  # noqa: PTH113
        return DataFile(url, os.path.basename(unquote(url.rstrip("/"))))  # noqa: PTH119
    return DataFile(url, os.path.basename(path), Path(path).stat().st_size, f"sha1${_sha1(path)}")  # noqa: PTH119


def _same(path: str, placed: tuple[_Made, str]) -> bool:
    """Whether what is there is still what the job made; of a folder, and of what is gone, it is taken to be."""
    made, place = placed
    sha1 = next((file.sha1 for file in made.result.files if file.location == place), None)
    return sha1 is None or not os.path.isfile(path) or _sha1(path) == sha1  # noqa: PTH113


def _sha1(path: str) -> str:
    with Path(path).open("rb") as stream:
        return hashlib.file_digest(stream, "sha1").hexdigest()


# -- shown -------------------------------------------------------------------------------------------------------------


def tree(lineage: Lineage, most: int = 10) -> Iterator[str]:
    """The lineage as lines of text; of more than ``most`` inputs the first are shown."""
    shown: set[str] = set()
    stack: list[tuple[str, str, str]] = [("", "", lineage.target)]
    while stack:
        first, rest, id_ = stack.pop()
        if id_.startswith("... "):
            yield first + id_
            continue
        file = lineage.files.get(id_) or DataFile(id_, id_)
        yield first + _file_line(file)
        activity = lineage.activities.get(file.made_by)
        if activity is None:
            continue
        again = "  (see above)" if activity.id in shown else ""
        yield f"{rest}└─ {_activity_line(activity)}{again}"
        if again:
            continue
        shown.add(activity.id)
        inputs = list(dict.fromkeys(id_ for _, id_ in activity.inputs))
        more = len(inputs) - most if len(inputs) > most + 1 else 0
        words = inputs[: most if more else None]
        if more or activity.unlisted:
            words.append(f"... and {more + activity.unlisted} more")
        for number, word in reversed(list(enumerate(words))):
            last = number == len(words) - 1
            stack.append((f"{rest}   {'└─' if last else '├─'} ", f"{rest}   {'  ' if last else '│ '} ", word))


def _file_line(file: DataFile) -> str:
    about = [file.id if file.id.partition("://")[0] != "file" else unquote(file.id[7:])]
    if file.size is not None:
        about.append(f"{file.size} bytes")
    if file.checksum:
        about.append(file.checksum.replace("$", ":"))
    if not file.made_by and file.account:
        about.append(f"by {file.account}")
    return "  ".join(about)


def _activity_line(activity: Activity) -> str:
    parts = [activity.name, f"run {activity.run}"]
    if activity.document:
        parts.append(activity.document)
    if activity.account:
        parts.append(f"by {activity.account}")
    if activity.ended:
        parts.append(activity.ended[:19].replace("T", " "))
    if activity.site:
        parts.append(f"at {activity.site}")
    if activity.digest or activity.image:
        parts.append(f"image {activity.digest or activity.image}")
    return ", ".join(parts)


def dot(lineage: Lineage) -> Iterator[str]:
    """The lineage for Graphviz, in lines."""
    yield "digraph lineage {"
    yield "  rankdir=LR; node [fontname=sans, fontsize=10];"
    for file in lineage.files.values():
        wide = ", penwidth=2" if file.id == lineage.target else ""
        yield f"  {_quoted(file.id)} [label={_quoted(file.name)}, shape=ellipse{wide}];"
    for one in lineage.activities.values():
        label = "\n".join(filter(None, (one.name, one.run, one.account)))
        yield f"  {_quoted(one.id)} [label={_quoted(label)}, shape=box, style=filled, fillcolor=lightgrey];"
        for name, id_ in one.inputs:
            yield f"  {_quoted(id_)} -> {_quoted(one.id)} [label={_quoted(name)}];"
    for file in lineage.files.values():
        if file.made_by:
            yield f"  {_quoted(file.made_by)} -> {_quoted(file.id)};"
    yield "}"


def _quoted(text: str) -> str:
    return json.dumps(text, ensure_ascii=False)
