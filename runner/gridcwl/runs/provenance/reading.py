"""Crates that somebody else may have written: what they hold, where it is, and how their workflow is run.

A crate is not trusted: every path in it stays in its folder, an archive is unpacked with limits, and its metadata are
read up to a size.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
import shutil
import tempfile
import zipfile
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import unquote

from gridcwl.config import private_folder
from gridcwl.errors import ConfigError, DocumentError, InputError, LimitExceeded, UnsafePath
from gridcwl.model import limits, paths
from gridcwl.model.objects import changed
from gridcwl.stores.local import uri

Entity = dict[str, Any]

METADATA = "ro-crate-metadata.json"
_LARGEST_METADATA = 2 << 30
_MOST_FILES = 1_000_000
_LARGEST = 1 << 40
_RATIO = 2000
"""An archive whose contents are so many times larger than itself is a bomb."""
_SMALL = 1 << 28
_SECRET = re.compile(rb"\(secret[ -][0-9a-f-]{24,36}\)")
"""What stands for a secret in the record of a run."""


@dataclass(frozen=True, slots=True)
class Crate:
    """A crate in a folder."""

    folder: Path
    entities: Mapping[str, Entity]

    @property
    def root(self) -> Entity:
        """The crate's own entity."""
        descriptor = self.entities.get(METADATA, {})
        return self.entities.get(_ref(descriptor.get("about")) or "./", self.entities.get("./", {}))

    @property
    def workflow(self) -> Entity:
        """The main entity.

        Raises:
            DocumentError: it has none that is CWL.
        """
        found = self.entities.get(_ref(self.root.get("mainEntity")) or "")
        if found is None or "ComputationalWorkflow" not in _listed(found.get("@type")):
            raise DocumentError(
                f"The crate {self.folder} has no workflow as its main entity",
                remedy="Only crates of workflows, such as Workflow Run Crates, can be run.",
            )
        language = _ref(found.get("programmingLanguage")) or ""
        if "#cwl" not in language and not str(found["@id"]).endswith(".cwl"):
            raise DocumentError(f"The workflow of the crate {self.folder} is not CWL")
        return found

    @property
    def action(self) -> Entity | None:
        """The action of the run of its workflow."""
        main = self.workflow["@id"]
        return next((one for one in self.entities.values() if "CreateAction" in _listed(one.get("@type"))
                     and main in _refs(one.get("instrument"))), None)  # fmt: skip

    def path(self, id_: str) -> Path:
        """Where a data entity is.

        Raises:
            UnsafePath: its id leads out of the crate.
        """
        name = unquote(id_, errors="surrogateescape").removeprefix("./").rstrip("/")
        return paths.inside(self.folder, name, f"A file of the crate {self.folder}")

    def find(self, name: str) -> Entity | None:
        """The File of this name or id."""
        return next((one for one in self.entities.values() if "File" in _listed(one.get("@type"))
                     and name in (one.get("name"), one["@id"])), None)  # fmt: skip


def is_crate(path: Path) -> bool:
    """Whether there is a crate: a folder with metadata, or an archive of one."""
    try:
        if path.is_dir():
            return (path / METADATA).is_file()
        return path.is_file() and path.suffix == ".zip" and bool(_top(path))
    except (OSError, zipfile.BadZipFile):
        return False


def open_crate(path: Path, cache: Path) -> Crate:
    """Read a crate.

    Args:
        path: its folder, or an archive, which is unpacked.
        cache: where archives are unpacked, each once.

    Raises:
        ConfigError: it is no crate.
        UnsafePath, LimitExceeded: an archive that is not acceptable.
    """
    folder = path if path.is_dir() else _unpacked(path, cache)
    file = folder / METADATA
    try:
        if file.stat().st_size > _LARGEST_METADATA:
            raise LimitExceeded(str(file), _LARGEST_METADATA)
        graph = json.loads(file.read_bytes())["@graph"]
        entities = {str(one["@id"]): one for one in graph if isinstance(one, dict) and "@id" in one}
    except (OSError, ValueError, KeyError, TypeError, RecursionError) as error:
        reason = "there is none" if isinstance(error, FileNotFoundError) else "it cannot be read as JSON-LD"
        raise ConfigError(
            f"{path} is no RO-Crate: {METADATA}: {reason}",
            remedy="A crate is a folder, or a .zip of one, with that file.",
        ) from error
    return Crate(folder.absolute(), entities)


def with_crate(document: str, behind: tuple[str, ...], cache: Callable[[], Path]) -> tuple[str, tuple[str, ...]]:
    """As :func:`as_document` if a document is a crate that is to run as it ran; else what was given."""
    path = Path(document)
    if "://" in document or not (path.suffix == ".zip" or path.is_dir()) or not is_crate(path):
        return document, behind
    return as_document(path, behind, cache())


def as_document(path: Path, behind: tuple[str, ...], cache: Path) -> tuple[str, tuple[str, ...]]:
    """The document of a crate, and its inputs if no input object is given.

    Args:
        path: of the crate.
        behind: the words behind it: an input object, or inputs as options, which replace some of the crate's.
        cache: for what has to be unpacked or written.

    Raises:
        DocumentError: it has no workflow in CWL.
        InputError: the inputs of its workflow cannot be derived, or were secret.
        ConfigError, UnsafePath, LimitExceeded: as :func:`open_crate`.
    """
    crate = open_crate(path, cache)
    document = crate.path(str(crate.workflow["@id"]))
    if not document.is_file():
        raise DocumentError(f"The crate {path} does not have its workflow, {crate.workflow['@id']}")
    if behind and not behind[0].startswith("--"):
        return str(document), behind
    found = crate.find("input object document") or crate.find("primary-job.json")
    if found is not None and (file := crate.path(str(found["@id"]))).is_file():
        _check_secrets(path, file, behind)
        return str(document), (str(file), *behind)
    text = json.dumps(_inputs(crate), indent=1)
    place = cache / "crates" / f"{hashlib.sha256(text.encode()).hexdigest()[:32]}.json"
    private_folder(place.parent)
    place.write_text(text, encoding="utf-8")
    return str(document), (str(place), *behind)


def _check_secrets(path: Path, file: Path, behind: tuple[str, ...]) -> None:
    """See that inputs that a crate has no values of, as they were secret, are given."""
    limits.check(file.stat().st_size, limits.TEXT_BYTES, str(file))
    text = file.read_bytes()
    if _SECRET.search(text) is None:
        return
    try:
        values = limits.read_json(text, limits.TEXT_BYTES, str(file))
    except ValueError:
        return  # whoever reads it as the input object reports that
    if not isinstance(values, dict):
        return
    given = {word.partition("=")[0].removeprefix("--") for word in behind}
    secret = [
        name for name, value in values.items() if _SECRET.search(json.dumps(value).encode()) and name not in given
    ]
    if secret:
        raise InputError(
            f"The crate {path} does not have the secret value of {' and '.join(secret)}",
            remedy="Give it: " + " ".join(["gridcwl", str(path), *(f"--{name} VALUE" for name in secret)])
            + ", or give an input object.",
        )  # fmt: skip


def outputs_of(crate: Crate) -> Any:
    """The output object of the run that a crate describes, with locations in the crate; None if it has none.

    Raises:
        UnsafePath: a path leads out of the crate.
        LimitExceeded: its output object is too large.
    """
    found = crate.find("output object document")
    if found is not None and (file := crate.path(str(found["@id"]))).is_file():
        limits.check(file.stat().st_size, limits.OUTPUT_OBJECT_BYTES, str(file))
        try:
            read = limits.read_json(file.read_bytes(), limits.OUTPUT_OBJECT_BYTES, str(file))
        except ValueError as error:
            raise ConfigError(f"{file} is not JSON", remedy="Export the run again.") from error
        return changed(read, lambda entry: _located(crate, entry))
    action = crate.action
    if action is None:
        return None
    return _values(crate, action.get("result"), crate.workflow.get("output"))


def _located(crate: Crate, entry: Entity) -> None:
    """The path of an entry in the crate, and what the crate knows of its bytes."""
    id_ = str(entry.get("location", ""))
    known = crate.entities.get(id_) or crate.entities.get(f"{id_}/") or {}
    if "sha1" in known:
        entry["checksum"] = f"sha1${known['sha1']}"
    if id_ and "://" not in id_:
        entry["location"] = uri(crate.path(id_))
        entry.setdefault("basename", os.path.basename(unquote(id_, errors="surrogateescape")))  # noqa: PTH119


# -- what a run of another runner got ----------------------------------------------------------------------------------


def _inputs(crate: Crate) -> dict[str, Any]:
    action = crate.action
    if action is None:
        raise InputError(
            f"The crate {crate.folder} has no run of its workflow", remedy="Give the inputs: gridcwl CRATE INPUTS."
        )
    return _values(crate, action.get("object"), crate.workflow.get("input"))


def _values(crate: Crate, objects: Any, parameters: Any) -> dict[str, Any]:
    """The values of parameters, from the entities that an action refers to."""
    wanted = set(_refs(parameters))
    found: dict[str, Any] = {}
    for id_ in _refs(objects):
        entity = crate.entities.get(id_, {})
        for parameter in wanted.intersection(_refs(entity.get("exampleOfWork"))):
            about = crate.entities.get(parameter, {})
            name = str(about.get("name") or parameter.rpartition("/")[2])
            found[name] = _value(crate, entity, about.get("additionalType"))
    return found


def _value(crate: Crate, entity: Entity, kind: Any) -> Any:
    kinds = _listed(entity.get("@type"))
    if "File" in kinds or "Dataset" in kinds:
        return _file(crate, entity, "File" if "File" in kinds else "Directory")
    if "Collection" in kinds:
        main = crate.entities.get(_ref(entity.get("mainEntity")) or "", {})
        made = _value(crate, main, kind)
        parts = [crate.entities.get(id_, {}) for id_ in _refs(entity.get("hasPart")) if id_ != main.get("@id")]
        return {**made, "secondaryFiles": [_value(crate, part, kind) for part in parts]}
    return _plain(crate, entity.get("value"), kind)


def _plain(crate: Crate, value: Any, kind: Any) -> Any:
    if isinstance(value, list):
        items = [_plain(crate, item, kind) for item in value]
        if kind == "PropertyValue" and all(isinstance(item, tuple) for item in items):
            return dict(items)
        return items
    if isinstance(value, dict):
        entity = crate.entities.get(_ref(value) or "", {})
        if "PropertyValue" in _listed(entity.get("@type")):
            return str(entity.get("name")), _plain(crate, entity.get("value"), None)
        return _value(crate, entity, kind)
    return _converted(value, kind)


def _converted(value: Any, kind: Any) -> Any:
    """A text as the number or truth value that it stands for, by its type or by its looks."""
    if not isinstance(value, str) or kind == "Text":
        return value
    if value in ("True", "False", "true", "false") and kind in (None, "Boolean", "DataType"):
        return value.lower() == "true"
    for number in (int, float):
        if kind in (None, "DataType", "Integer", "Float") or isinstance(kind, list):
            try:
                return number(value)
            except ValueError:
                continue
    return value


def _file(crate: Crate, entity: Entity, kind: str) -> Entity:
    id_ = str(entity["@id"])
    made = {"class": kind, "location": id_ if "://" in id_ else uri(crate.path(id_))}
    name = str(entity.get("alternateName") or "")
    if name:
        made["basename"] = paths.basename(os.path.basename(name), "The alternateName of a file in the crate")  # noqa: PTH119
    if "sha1" in entity:
        made["checksum"] = f"sha1${entity['sha1']}"
    return made


# -- archives ----------------------------------------------------------------------------------------------------------


def _top(path: Path) -> str:
    """The folder in an archive that is the crate, with ``/``; ``./`` for the archive itself, empty for none."""
    with zipfile.ZipFile(path) as archive:
        found = [name for name in archive.namelist() if name == METADATA or name.endswith(f"/{METADATA}")]
    shortest = min(found, key=lambda name: name.count("/"), default="")
    return (shortest.removesuffix(METADATA) or "./") if shortest else ""


def _unpacked(path: Path, cache: Path) -> Path:
    """The crate in an archive, unpacked."""
    try:
        with path.open("rb") as stream:
            digest = hashlib.file_digest(stream, "sha256").hexdigest()
        top = _top(path)
    except (OSError, zipfile.BadZipFile) as error:
        why = "it is not a .zip archive" if isinstance(error, zipfile.BadZipFile) else error.strerror
        raise ConfigError(
            f"The crate {path} cannot be read: {why}", remedy="Give the folder of a crate, or a .zip of one."
        ) from error
    if not top:
        raise ConfigError(f"{path} is no RO-Crate: it has no {METADATA}")
    place = cache / "crates" / digest[:32]
    if not place.is_dir():
        private_folder(place.parent)
        with tempfile.TemporaryDirectory(dir=place.parent) as unfinished:
            unpack(path, Path(unfinished) / "crate")
            if not place.is_dir():
                (Path(unfinished) / "crate").rename(place)
    return place if top == "./" else paths.inside(place, top.rstrip("/"), f"A folder in {path}")


def unpack(path: Path, folder: Path) -> None:
    """Unpack a crate's archive, from anybody, into a new folder.

    Raises:
        ConfigError: it is not a .zip archive.
        LimitExceeded: there is more in it than a crate may have, or than its size explains.
        UnsafePath: a member would leave the folder, or is neither a file nor a folder.
        OSError: it cannot be written.
    """
    try:
        with zipfile.ZipFile(path) as archive:
            _extract(archive, path, folder)
    except zipfile.BadZipFile as error:
        raise ConfigError(f"The crate {path} cannot be read: it is not a .zip archive") from error


def _extract(archive: zipfile.ZipFile, path: Path, folder: Path) -> None:
    members = archive.infolist()
    size = sum(member.file_size for member in members)
    packed = sum(member.compress_size for member in members)
    if len(members) > _MOST_FILES or size > _LARGEST or (size > _SMALL and size > _RATIO * max(packed, 1)):
        raise LimitExceeded(f"What is in {path}", min(_LARGEST, max(_SMALL, _RATIO * packed)))
    folder.mkdir()
    for member, name in _members(members, path):
        target = folder / name
        if member.is_dir():
            target.mkdir(parents=True, exist_ok=True)
            continue
        target.parent.mkdir(parents=True, exist_ok=True)
        with archive.open(member) as source, target.open("xb") as written:
            _copied(source, written, member.file_size, path)


def _members(members: list[zipfile.ZipInfo], path: Path) -> Iterator[tuple[zipfile.ZipInfo, str]]:
    for member in members:
        if member.filename.rstrip("/") in ("", "."):
            continue
        if (member.external_attr >> 16) & 0o170000 not in (0, 0o100000, 0o040000):
            raise UnsafePath(f"A member of {path}", member.filename, "it is neither a file nor a folder")
        yield member, paths.relative(member.filename.removeprefix("./").rstrip("/"), f"A name in {path}")


def _copied(source: Any, written: Any, size: int, path: Path) -> None:
    shutil.copyfileobj(_Bounded(source, size, path), written)


@dataclass(slots=True)
class _Bounded:
    """A member of an archive, which may lie about its size."""

    source: Any
    size: int
    path: Path
    taken: int = 0

    def read(self, count: int = -1) -> bytes:
        data: bytes = self.source.read(count)
        self.taken += len(data)
        if self.taken > self.size:
            raise LimitExceeded(f"A file in {self.path}", self.size)
        return data


def _ref(value: Any) -> str | None:
    return next(iter(_refs(value)), None)


def _refs(value: Any) -> list[str]:
    """The ids that a property refers to."""
    return [str(one["@id"]) if isinstance(one, dict) and "@id" in one else str(one) for one in _listed(value)]


def _listed(value: Any) -> list[Any]:
    return value if isinstance(value, list) else [] if value is None else [value]
