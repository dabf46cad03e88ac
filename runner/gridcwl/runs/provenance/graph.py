"""The entities of a crate until ``ro-crate-metadata.json`` is written: on disk, as jobs may be many."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from types import TracebackType
from typing import Any, Self, TextIO

Entity = dict[str, Any]

CONTEXT = ["https://w3id.org/ro/crate/1.1/context", "https://w3id.org/ro/terms/workflow-run/context"]
_DESCRIPTOR = {
    "@id": "ro-crate-metadata.json",
    "@type": "CreativeWork",
    "about": {"@id": "./"},
    "conformsTo": [
        {"@id": "https://w3id.org/ro/crate/1.1"},
        {"@id": "https://w3id.org/workflowhub/workflow-ro-crate/1.0"},
    ],
}
_SCHEMA = """
CREATE TABLE entities (id TEXT PRIMARY KEY, text TEXT);
CREATE TABLE parts (id TEXT PRIMARY KEY) WITHOUT ROWID;
CREATE TABLE works (id TEXT, parameter TEXT, PRIMARY KEY (id, parameter)) WITHOUT ROWID;
CREATE TABLE places (location TEXT PRIMARY KEY, id TEXT) WITHOUT ROWID;
CREATE TABLE lists (owner TEXT, item TEXT);
CREATE INDEX lists_by_owner ON lists (owner);
"""


class Graph:
    """Entities in the order in which they were added, each once. A context manager."""

    def __init__(self, path: Path) -> None:
        """Make the file."""
        self._db = sqlite3.connect(path, isolation_level=None)
        self._db.executescript(f"PRAGMA journal_mode=OFF; PRAGMA synchronous=OFF; PRAGMA cache_size=-4000; {_SCHEMA}")
        self._db.execute("BEGIN")

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._db.close()

    def __contains__(self, id_: str) -> bool:
        return self._db.execute("SELECT 1 FROM entities WHERE id=?", (id_,)).fetchone() is not None

    def add(self, entity: Entity, *, part: bool = False) -> None:
        """Add an entity, unless one with its id is there; ``part`` makes it one of the crate's data."""
        text = json.dumps({key: value for key, value in entity.items() if value not in (None, "", [])})
        self._db.execute("INSERT OR IGNORE INTO entities VALUES (?, ?)", (entity["@id"], text))
        if part:
            self._db.execute("INSERT OR IGNORE INTO parts VALUES (?)", (entity["@id"],))

    def example(self, id_: str, parameter: str) -> None:
        """The entity with this id is a value of this parameter."""
        self._db.execute("INSERT OR IGNORE INTO works VALUES (?, ?)", (id_, parameter))

    def place(self, location: str) -> str | None:
        """The id of what was at this location."""
        row = self._db.execute("SELECT id FROM places WHERE location=?", (_text(location),)).fetchone()
        return None if row is None else str(row[0])

    def put_place(self, location: str, id_: str) -> None:
        """What is at this location has this id."""
        self._db.execute("INSERT OR REPLACE INTO places VALUES (?, ?)", (_text(location), id_))

    def append(self, owner: str, item: str) -> None:
        """Add an id to a list that belongs to ``owner``."""
        self._db.execute("INSERT INTO lists VALUES (?, ?)", (owner, item))

    def owners(self) -> list[str]:
        """The owners of lists, in the order in which they were added."""
        return [row[0] for row in self._db.execute("SELECT owner FROM lists GROUP BY owner ORDER BY min(rowid)")]

    def items(self, owner: str) -> Iterator[str]:
        """What was added to a list."""
        yield from (row[0] for row in self._db.execute("SELECT item FROM lists WHERE owner=? ORDER BY rowid", (owner,)))

    def parts(self) -> Iterator[str]:
        """The ids of the crate's data."""
        yield from (row[0] for row in self._db.execute("SELECT id FROM parts ORDER BY id"))

    def write(self, stream: TextIO, whole: Iterable[tuple[Entity, Mapping[str, Iterable[str]]]]) -> None:
        """Write the metadata file.

        Args:
            stream: to write to.
            whole: entities with lists of ids that may be long, by the properties that they belong to.
        """
        stream.write('{\n"@context": ' + json.dumps(CONTEXT) + ',\n"@graph": [\n' + json.dumps(_DESCRIPTOR))
        for entity, lists in whole:
            stream.write(",\n" + json.dumps(entity)[:-1])
            for name, ids in lists.items():
                stream.write(f', "{name}": [')
                for number, id_ in enumerate(ids):
                    stream.write((", " if number else "") + json.dumps({"@id": id_}))
                stream.write("]")
            stream.write("}")
        for id_, text in self._db.execute("SELECT id, text FROM entities ORDER BY rowid"):
            stream.write(",\n" + self._with_examples(id_, text))
        stream.write("\n]\n}\n")

    def _with_examples(self, id_: str, text: str) -> str:
        works = [row[0] for row in self._db.execute("SELECT parameter FROM works WHERE id=? ORDER BY 1", (id_,))]
        if not works:
            return text
        refs = [{"@id": parameter} for parameter in works]
        return f'{text[:-1]}, "exampleOfWork": {json.dumps(refs[0] if len(refs) == 1 else refs)}}}'


def _text(location: str) -> str:
    """A location as SQLite takes it: names of files need not be UTF-8."""
    return location.encode("utf-8", "surrogateescape").decode("utf-8", "backslashreplace")
