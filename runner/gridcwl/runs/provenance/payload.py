"""The data of a crate: Files, Directories and other values as entities, their bytes copied or referred to.

A File keeps one entity however many jobs read it. What is neither copied nor on this machine any more is named by the
URL at which it was, with its checksum.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal, TypeAlias
from urllib.parse import quote

from gridcwl.errors import UnsafePath
from gridcwl.model.objects import entries
from gridcwl.model.paths import basename
from gridcwl.runs.provenance.graph import Entity, Graph
from gridcwl.runs.reuse.checksums import local_path
from gridcwl.stores.local import uri
from gridcwl.worker.failure import crossed_out, printable

How: TypeAlias = Literal["auto", "embed", "reference"]
"""``auto`` embeds files of this machine and refers to what is in a store; ``embed`` copies that, too."""

_CHUNK = 1 << 20
_GONE = "Not kept: only its checksum is known."
_CHANGED = "Not in this crate: the file has changed since the run."
_REMEMBERED = 64
_LEFT_OUT = ("path", "dirname", "nameroot", "nameext", "listing", "secondaryFiles")


@dataclass(slots=True)
class Payload:
    """Puts values into a crate."""

    graph: Graph
    root: Path
    how: How = "auto"
    limit: int = 100 << 20
    """Bytes of a file that is embedded."""
    moved: Callable[[str], str | None] = lambda _url: None
    """Where a file is now that is not at its first place any more."""
    copies: dict[str, str] = field(default_factory=dict)
    """Copies on this machine of files in a store, by their URLs."""
    removed: Path | None = None
    """A folder that will be removed: nothing in it is referred to."""
    counts: dict[str, int] = field(default_factory=lambda: {"embedded": 0, "referenced": 0, "missing": 0})
    _values: dict[int, tuple[Any, str]] = field(default_factory=dict)
    """Ids of large values, by the identity of the value, which is held here."""

    # -- values --------------------------------------------------------------------------------------------------------

    def bind(self, value: Any, parameter: str, folder: str) -> str | None:
        """The id of the entity of a parameter's value, which is added; None for null.

        Args:
            value: as CWL has it.
            parameter: its id.
            folder: of the crate, for files that it does not have yet.
        """
        if value is None:
            return None
        if _is_entry(value):
            id_ = self.entry(value, folder)
        elif (known := self._values.get(id(value))) is not None:
            id_ = f"{_value_id(parameter)}/{known[1]}"
        else:
            id_ = self._property(value, parameter, folder)
        self.graph.example(id_, parameter)
        return id_

    def entry(self, value: Entity, folder: str) -> str:
        """The id of a File or Directory; of a Collection if it has secondary files."""
        others = value.get("secondaryFiles") or ()
        if value["class"] == "Directory":
            return self._directory(value, folder)
        place = self._free(folder, [value, *others]) if self._unknown(value) else folder
        main = self._file(value, place)
        if not others:
            return main
        id_ = f"#collection/{main.lstrip('#')}"
        if id_ not in self.graph:
            parts = [main, *(self.entry(one, place) for one in others)]
            self.graph.add(
                {
                    "@id": id_,
                    "@type": "Collection",
                    "name": _name(value),
                    "mainEntity": {"@id": main},
                    "hasPart": [{"@id": part} for part in parts],
                }
            )
            self.graph.append("mentions", id_)
        return id_

    def _property(self, value: Any, parameter: str, folder: str) -> str:
        plain = self._plain(value, folder, f"{_value_id(parameter)}")
        digest = hashlib.sha1(json.dumps(plain, default=str).encode(), usedforsecurity=False).hexdigest()[:16]
        id_ = f"{_value_id(parameter)}/{digest}"
        if isinstance(value, list | dict) and len(value) > _REMEMBERED:
            if len(self._values) >= _REMEMBERED:
                self._values.clear()
            self._values[id(value)] = (value, digest)
        if id_ not in self.graph:
            name = parameter.rpartition("/")[2]
            self.graph.add({"@id": id_, "@type": "PropertyValue", "name": name, "value": plain})
        return id_

    def _plain(self, value: Any, folder: str, owner: str) -> Any:
        """A value as runcrate writes it: texts, references to data, and records as properties."""
        if isinstance(value, list):
            return [self._plain(item, folder, owner) for item in value if item is not None]
        if not isinstance(value, dict):
            return value if isinstance(value, str) else str(value)
        if _is_entry(value):
            id_ = self.entry(value, folder)
            return {"@id": self._main(value) if value.get("secondaryFiles") else id_}
        fields = []
        for name, item in value.items():
            if item is None:
                continue
            plain = self._plain(item, folder, f"{owner}/{quote(name)}")
            digest = hashlib.sha1(json.dumps(plain, default=str).encode(), usedforsecurity=False).hexdigest()[:16]
            id_ = f"{owner}/{quote(name)}/{digest}"
            self.graph.add({"@id": id_, "@type": "PropertyValue", "name": name, "value": plain})
            fields.append({"@id": id_})
        return fields

    def relocated(self, value: Any) -> Any:
        """The value with Files and Directories at their places in the crate, as an input object names them."""
        if isinstance(value, list):
            return [self.relocated(item) for item in value]
        if not isinstance(value, dict):
            return value
        if not _is_entry(value):
            return {name: self.relocated(item) for name, item in value.items()}
        made = {name: item for name, item in value.items() if name not in _LEFT_OUT}
        if (known := self.graph.place(_key(value))) is not None:
            made["location"] = known.rstrip("/")
            made.pop("contents", None)
            named = quote(os.fsencode(str(value.get("basename") or "")))
            if named == known.rstrip("/").rpartition("/")[2]:
                made.pop("basename")
        if value.get("secondaryFiles"):
            made["secondaryFiles"] = self.relocated(value["secondaryFiles"])
        if value.get("listing") and "location" not in made:
            made["listing"] = self.relocated(value["listing"])
        return made

    # -- files ---------------------------------------------------------------------------------------------------------

    def _unknown(self, value: Entity) -> bool:
        return self.graph.place(_key(value)) is None

    def _main(self, value: Entity) -> str:
        found = self.graph.place(_key(value))
        assert found is not None
        return found

    def _free(self, folder: str, files: list[Entity]) -> str:
        """The folder, or one below it if it has files of these names already."""
        names = [_name(one) for one in files]
        number, found = 1, folder
        while any(os.path.lexists(self.root / found / name) for name in names):
            number += 1
            found = f"{folder}/{number}"
        return found

    def _file(self, value: Entity, folder: str, *, part: bool = True) -> str:
        key = _key(value)
        if (known := self.graph.place(key)) is not None:
            return known
        made = self._described(value)
        if "location" not in value or str(value["location"]).startswith("_:"):
            id_ = self._written(str(value.get("contents", "")), value, folder, made)
        else:
            id_ = self._copied(value, folder, made) or self._referred(value, made)
        self.graph.put_place(key, id_)
        self.graph.add({"@id": id_, "@type": "File", **made}, part=part)
        return id_

    def _described(self, value: Entity) -> Entity:
        made: Entity = {"name": printable(_name(value))}
        if isinstance(form := value.get("format"), str):
            made["encodingFormat"] = form
        if value.get("size") is not None:
            made["contentSize"] = str(value["size"])
        algorithm, _, digest = str(value.get("checksum") or "").partition("$")
        if digest and algorithm == "sha1":
            made["sha1"] = digest
        elif digest:
            made["identifier"] = f"{algorithm}:{digest}"
        return made

    def _source(self, location: str) -> Path | None:
        """Where the bytes are on this machine, if they are and may be embedded."""
        for url in (self.moved(location), location, self.copies.get(location)):
            path = local_path(url) if url else None
            if path is not None and os.path.isfile(path):  # noqa: PTH113
                return Path(path)
        return None

    def _copied(self, value: Entity, folder: str, made: Entity) -> str | None:
        """Embed a file; returns its id, or None if it is not embedded."""
        location = str(value["location"])
        source = self._source(location)
        if source is None:
            if local_path(location) is not None:
                made["description"] = _GONE
                self.counts["missing"] += 1
            return None
        if self.how == "reference" or source.stat().st_size > self.limit:
            made.setdefault("contentSize", str(source.stat().st_size))
            if "sha1" not in made:
                made["sha1"] = _sha1(source)
            if self.removed is not None and source.is_relative_to(self.removed):
                made["description"] = _GONE
                self.counts["missing"] += 1
            return None
        target = self.root / folder / _name(value)
        digest = _copy(source, target)
        if made.get("sha1", digest) != digest:
            target.unlink()
            made["description"] = _CHANGED
            self.counts["missing"] += 1
            return None
        made |= {"sha1": digest, "contentSize": str(target.stat().st_size)}
        if location.partition("://")[0] != "file":
            made["sameAs"] = {"@id": crossed_out(location)}
        self.counts["embedded"] += 1
        return _relative(target, self.root)

    def _referred(self, value: Entity, made: Entity) -> str:
        location = crossed_out(str(value["location"]))
        if "description" not in made:
            self.counts["referenced"] += 1
            if local_path(location) is not None and (source := self._source(location)) is not None:
                return uri(source)
        return location

    def _written(self, text: str, value: Entity, folder: str, made: Entity) -> str:
        target = self.root / folder / _name(value)
        target.parent.mkdir(parents=True, exist_ok=True)
        data = text.encode("utf-8", "surrogateescape")
        target.write_bytes(data)
        made["sha1"] = hashlib.sha1(data, usedforsecurity=False).hexdigest()
        made["contentSize"] = str(len(data))
        self.counts["embedded"] += 1
        return _relative(target, self.root)

    # -- directories ---------------------------------------------------------------------------------------------------

    def _directory(self, value: Entity, folder: str, *, part: bool = True) -> str:
        key = _key(value)
        if (known := self.graph.place(key)) is not None:
            return known
        whole = self._with_listing(value)
        location = str(value.get("location", "_:"))
        size = sum(int(one.get("size") or self._size(one)) for one in entries(whole.get("listing"), "File"))
        local = location.startswith("_:") or local_path(location) is not None or self.how == "embed"
        if local and self.how != "reference" and size <= self.limit and self._is_here(whole):
            place = f"{self._free(folder, [value])}/{_name(value)}"
            (self.root / place).mkdir(parents=True, exist_ok=True)
            id_ = f"{_relative(self.root / place, self.root)}/"
        else:
            place = folder
            digest = hashlib.sha1(key.encode("utf-8", "surrogateescape"), usedforsecurity=False).hexdigest()
            id_ = f"#directory/{digest}/" if location.startswith("_:") else f"{crossed_out(location).rstrip('/')}/"
            self.counts["referenced"] += 1
        self.graph.put_place(key, id_)
        children = [
            (self._directory if one["class"] == "Directory" else self._file)(one, place, part=False)
            for one in whole.get("listing") or ()
        ]
        made = {"@id": id_, "@type": "Dataset", "name": _name(value), "hasPart": [{"@id": child} for child in children]}
        self.graph.add(made, part=part)
        return id_

    def _is_here(self, whole: Entity) -> bool:
        return all(
            self._source(str(one.get("location", ""))) is not None or "contents" in one
            for one in entries(whole.get("listing"), "File")
        )

    def _size(self, value: Entity) -> int:
        source = self._source(str(value.get("location", "")))
        return source.stat().st_size if source is not None else 0

    def _with_listing(self, value: Entity) -> Entity:
        """The Directory with what is in it, if that can be seen here."""
        location = str(value.get("location", ""))
        for url in (self.moved(location), location, self.copies.get(location)):
            path = local_path(url) if url else None
            if path is not None and os.path.isdir(path):  # noqa: PTH112
                return {**value, "listing": _merged(value.get("listing") or (), _listed(Path(path)))}
        return value


def _listed(folder: Path, top: Path | None = None) -> Iterator[Entity]:
    """What is in a folder; links are followed only within it."""
    top = top or folder.resolve()
    for path in sorted(folder.iterdir()):
        if path.is_symlink() and (not path.resolve().is_relative_to(top) or path.is_dir()):
            continue
        if path.is_dir():
            inside = list(_listed(path, top))
            yield {"class": "Directory", "location": uri(path), "basename": path.name, "listing": inside}
        elif path.is_file():
            yield {"class": "File", "location": uri(path), "basename": path.name, "size": path.stat().st_size}


def _merged(recorded: Iterable[Entity], seen: Iterable[Entity]) -> list[Entity]:
    """What is in a folder, as it was recorded; of folders in it also what was not."""
    known = {str(one.get("basename")): one for one in recorded}
    made = []
    for one in seen:
        if (other := known.pop(str(one["basename"]), None)) is None:
            made.append(one)
        elif one["class"] == "Directory":
            made.append({**other, "listing": _merged(other.get("listing") or (), one["listing"])})
        else:
            made.append(other)
    return [*made, *known.values()]


def _is_entry(value: Any) -> bool:
    return isinstance(value, dict) and value.get("class") in ("File", "Directory")


def _key(value: Entity) -> str:
    """What tells a File or Directory from all others: its location, or its contents if it is a literal."""
    location = str(value.get("location") or "_:")
    if not location.startswith("_:"):
        return location.rstrip("/")
    text = json.dumps(value, sort_keys=True, default=str).encode()
    return f"literal {hashlib.sha1(text, usedforsecurity=False).hexdigest()}"


def _name(value: Entity) -> str:
    name = str(value.get("basename") or os.path.basename(str(value.get("location", "")).rstrip("/")))  # noqa: PTH119
    try:
        return basename(name.replace("/", "_"), "The name of a file in a crate")
    except UnsafePath:
        return "file"


def _value_id(parameter: str) -> str:
    return f"#value/{parameter.partition('#')[2] or parameter}"


def _relative(path: Path, root: Path) -> str:
    return quote(os.fsencode(path.relative_to(root)))


def _copy(source: Path, target: Path) -> str:
    """Copy a file; returns its SHA-1."""
    target.parent.mkdir(parents=True, exist_ok=True)
    digest = hashlib.sha1(usedforsecurity=False)
    with source.open("rb") as reader, target.open("xb") as writer:
        while chunk := reader.read(_CHUNK):
            digest.update(chunk)
            writer.write(chunk)
    shutil.copystat(source, target)
    return digest.hexdigest()


def _sha1(path: Path) -> str:
    digest = hashlib.sha1(usedforsecurity=False)
    with path.open("rb") as reader:
        while chunk := reader.read(_CHUNK):
            digest.update(chunk)
    return digest.hexdigest()
