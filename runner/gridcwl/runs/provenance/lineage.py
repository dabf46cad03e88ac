"""Lineage of a file: which job made it, of what, back to files that no run has made.

The user's own journals are looked at first; a store's metadata say the rest, across runs and users.
"""

from __future__ import annotations

import hashlib
import json
import os
import pwd
import re
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any
from urllib.parse import unquote

from gridcwl import plugins
from gridcwl.errors import ConfigError
from gridcwl.model.objects import entries
from gridcwl.runs.downloads import origin_of
from gridcwl.runs.provenance.actions import JobFacts, image_in, iso, times
from gridcwl.runs.provenance.own_files import MadeByExpression, MadeByJob, OwnFiles, literal_id, sha1_of_text
from gridcwl.runs.provenance.stored import origins, store_with
from gridcwl.runs.record.folder import RunFolder
from gridcwl.runs.record.history import History
from gridcwl.runs.reuse.checksums import local_path
from gridcwl.stores.local import uri
from gridcwl.stores.reports import Origin
from gridcwl.worker.failure import crossed_out, printable

_UPLOADED = re.compile(r"[./]s(?P<sha1>[0-9a-f]{40})[./]")
MOST_FILES = 20_000
_COMMAND = 300


@dataclass(frozen=True, slots=True)
class DataFile:
    """A file, or a Directory."""

    id: str
    """Its URL, as the job knew it that made or read it."""
    name: str
    size: int | None = None
    checksum: str = ""
    """As CWL writes it: ``sha1$...``."""
    location: str = ""
    """Where it is now; empty if it was not kept. Of an input that was downloaded, the URL that it came from."""
    made_by: str = ""
    """The activity that made it; empty if no run is known to have."""
    account: str = ""
    """Who made it known to a store."""
    created: str = ""


@dataclass(frozen=True, slots=True)
class Activity:
    """A job, or an expression."""

    id: str
    """Run and job: ``20261129-081500-1a2b3c/1-7``. Of an expression, run and step."""
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
    reused: str = ""
    """The job of another run whose result this run took, if it did not run itself."""


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
        search = _Search(OwnFiles(state_dir, stack))
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
class _Search:
    own: OwnFiles
    found: Lineage = field(init=False)
    target: str = ""
    literals: dict[str, DataFile] = field(default_factory=dict)
    """Files that consist of their contents, which jobs have read."""

    def begin(self, word: str) -> str:
        """The URL of what the user means."""
        path = Path(word)
        if path.exists():
            return uri(Path(os.path.abspath(path)))  # noqa: PTH100 - without "..", but with links
        if word.startswith("file://"):
            return word
        name = word if "://" in word else ""
        if not name and (store := plugins.store_of_name(word)):
            scope, _, rest = word.removeprefix(f"{store}:").partition(":")
            name = f"{store}://{scope}/{rest}"
        if not name or store_with("origins", name) is None:
            stores = [one for one in plugins.stores().values() if "origins" in one.hooks and one.example]
            others = "".join(f", or a file in {one.title or one.name}: {one.example}" for one in stores)
            raise ConfigError(f"There is no file {word}", remedy=f"Give a path{others}.")
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
            self.found.files.setdefault(url, self._unmade(url))

    def _unmade(self, url: str) -> DataFile:
        """A file that no run is known to have made."""
        return self.literals.get(url) or _here(url)

    # -- own runs ------------------------------------------------------------------------------------------------------

    def _own(self, url: str) -> tuple[MadeByJob | MadeByExpression, str] | None:
        """The job or expression of this user that made a file, and where it left it."""
        made = self.own.by_literal(url) or self.own.by_location(url)
        if made is not None:
            return made, url
        path = local_path(url)
        if path is None:
            uploaded = _UPLOADED.search(url)
            return self.own.by_sha1(uploaded["sha1"], _plain_name(url)) if uploaded else None
        placed = self.own.by_place(url, lambda sha1: sha1 is None or not os.path.isfile(path) or _sha1(path) == sha1)  # noqa: PTH113
        if placed is not None:
            return placed
        if os.path.isfile(path):  # noqa: PTH113
            # elsewhere equal bytes may be chance: only of the file itself a copy under any name is recognized
            name = "" if url == self.target else os.path.basename(path)  # noqa: PTH119
            return self.own.by_sha1(_sha1(path), name)
        return None

    def _noted(self, made: MadeByJob | MadeByExpression, place: str, url: str) -> list[str]:
        """Note a file and what made it; returns the inputs of that, if they are new."""
        new = made.id not in self.found.activities
        if new:
            binding = made.binding if isinstance(made, MadeByExpression) else made.history.binding(made.row)
            inputs, parameters, literals = _inputs(binding.inputs if binding is not None else {}, made.folder.run)
            self.literals |= literals
            about = _evaluated(made) if isinstance(made, MadeByExpression) else _ran(made)
            self.found.activities[made.id] = replace(about, inputs=tuple(inputs), parameters=parameters)
        activity = self.found.activities[made.id]
        if isinstance(made, MadeByExpression):
            file = replace(_literal(url, made.literal), location=_kept(made.history, url))
        else:
            file = _produced(url, place, made)
        self.found.files[url] = replace(file, made_by=made.id, account=activity.account, created=activity.ended)
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
                self.found.files[url] = self._unmade(url)
                continue
            maker = f"{origin.run}/{origin.job}" if origin.run and origin.job else ""
            if maker and maker not in self.found.activities:
                self.found.activities[maker] = _recorded(maker, origin)
                ahead += origin.inputs
            name = os.path.basename(_plain_name(url))  # noqa: PTH119
            self.found.files[url] = DataFile(
                url, name, origin.size, origin.checksum, url, maker, origin.account, origin.created
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


def _ran(made: MadeByJob) -> Activity:
    """A job, without its inputs."""
    row = made.row
    last = made.history.attempts(row.row)[-1]
    description = made.history.description(row.row)
    facts = JobFacts(row, last, made.result, image_in(description.common))
    start, end = times(facts)
    command = " ".join(map(str, json.loads(description.own).get("command", ())))
    usage = made.result.usage
    return Activity(
        made.id,
        made.folder.run,
        row.step,
        row.name,
        _document(made.history),
        command[:_COMMAND],
        facts.image,
        made.result.image,
        _owner(made.folder),
        iso(start) or "",
        iso(end) or "",
        (usage.site or usage.host) if usage is not None else "",
        "journal",
        reused=row.reused or "",
    )


def _evaluated(made: MadeByExpression) -> Activity:
    """An expression, without its inputs."""
    when = iso(made.binding.at) or ""
    return Activity(
        made.id, made.folder.run, made.binding.step, made.binding.name, _document(made.history), "expression",
        account=_owner(made.folder), started=when, ended=when,
    )  # fmt: skip


def _document(history: History) -> str:
    return Path(str(history.meta("document") or "")).name


def _produced(url: str, place: str, made: MadeByJob) -> DataFile:
    """A file in a job's result."""
    file = made.file(place)
    name = file.path if file is not None else unquote(place.rstrip("/"))
    return DataFile(
        url,
        printable(os.path.basename(name)),  # noqa: PTH119
        file.size if file is not None and file.kind == "file" else None,
        f"sha1${file.sha1}" if file is not None and file.sha1 else "",
        _kept(made.history, url),
    )


def _kept(history: History, url: str) -> str:
    """Where a file is now; empty if it is gone."""
    known = url.rpartition("/")[2] if url.startswith("literal:") else url
    for place in (url, history.moved(known)):
        path = local_path(place) if place else None
        if place and not place.startswith("literal:") and (path is None or os.path.lexists(path)):
            return crossed_out(place)
    return ""


def _literal(id_: str, entry: Mapping[str, Any]) -> DataFile:
    """A file that consists of its contents."""
    sha1 = sha1_of_text(dict(entry))
    size = len(str(entry["contents"]).encode("utf-8", "surrogateescape")) if sha1 is not None else None
    return DataFile(id_, printable(str(entry.get("basename") or "")), size, f"sha1${sha1}" if sha1 else "")


def _inputs(values: Mapping[str, Any], run: str) -> tuple[list[tuple[str, str]], dict[str, Any], dict[str, DataFile]]:
    """Names of inputs with ids of files; inputs that are no files; and those files that have contents and no place."""
    files: dict[tuple[str, str], None] = {}
    parameters: dict[str, Any] = {}
    literals: dict[str, DataFile] = {}
    for name, value in values.items():
        some = False
        for entry in entries(value):
            some = True
            location = str(entry.get("location") or "_:")
            if not location.startswith("_:"):
                files[name, crossed_out(location).rstrip("/")] = None
            elif entry.get("class") == "File" and location != "_:":
                id_ = literal_id(run, location)
                files[name, id_] = None
                literals[id_] = _literal(id_, entry)
        if not some and value is not None:
            parameters[name] = value
    return list(files), parameters, literals


def _owner(folder: RunFolder) -> str:
    try:
        return pwd.getpwuid(folder.journal.stat().st_uid).pw_name
    except (KeyError, OSError):
        return ""


def _here(url: str) -> DataFile:
    """A file that no run is known to have made."""
    path = local_path(url)
    if path is None or not os.path.isfile(path):  # noqa: PTH113
        location = url if path is None or os.path.lexists(path) else ""
        return DataFile(url, os.path.basename(unquote(url.rstrip("/"))), location=location)  # noqa: PTH119
    size, checksum = Path(path).stat().st_size, f"sha1${_sha1(path)}"
    return DataFile(url, os.path.basename(path), size, checksum, origin_of(Path(path)) or url)  # noqa: PTH119


def _sha1(path: str) -> str:
    with Path(path).open("rb") as stream:
        return hashlib.file_digest(stream, "sha1").hexdigest()
