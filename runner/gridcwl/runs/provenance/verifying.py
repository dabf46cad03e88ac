"""Verification of a crate: every checksum of a file in it, on this machine and in stores, replica by replica."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, TypeAlias

from gridcwl.errors import UnsafePath
from gridcwl.runs.provenance.reading import METADATA, Crate
from gridcwl.runs.provenance.stored import checked_replicas, store_with
from gridcwl.runs.reuse.checksums import local_path

State: TypeAlias = Literal["ok", "damaged", "missing", "unchecked"]
_CHUNK = 1 << 20
_ALGORITHMS = ("sha512", "sha256", "sha1", "md5")


@dataclass(frozen=True, slots=True)
class Check:
    """What came of checking one file, or one replica of it."""

    id: str
    state: State
    detail: str = ""
    replica: str = ""
    """Which replica; empty for the file in the crate."""


def verified(crate: Crate) -> Iterator[Check]:
    """Check every file.

    Raises:
        StoreError: a store does not answer.
    """
    stored: dict[str, Mapping[str, Any]] = {}
    for id_, entity in crate.entities.items():
        types = entity.get("@type")
        if "File" not in (types if isinstance(types, list) else [types]) or id_ == METADATA:
            continue
        if store_with("check_files", id_) is not None:
            stored[id_] = _known(entity)
        else:
            yield _checked(crate, id_, entity)
        for other in _same(entity):
            if store_with("check_files", other) is not None:
                stored[other] = _known(entity)
    for id_, replicas in checked_replicas(stored).items():
        for replica in replicas:
            state: State = "damaged" if replica.problem else "ok"
            if not replica.replica:
                state = "missing"
            yield Check(id_, state, replica.problem, replica.replica)


def _same(entity: Mapping[str, Any]) -> list[str]:
    same = entity.get("sameAs")
    found = same if isinstance(same, list) else [same] if same else []
    return [str(one.get("@id")) for one in found if isinstance(one, dict)]


def _checked(crate: Crate, id_: str, entity: Mapping[str, Any]) -> Check:
    if "://" in id_:
        found = local_path(id_)
        if found is None:
            return Check(id_, "unchecked", "it is on the web")
        path = Path(found)
        if not path.is_file():
            gone = "description" in entity and "only its checksum" in str(entity["description"])
            return Check(id_, "unchecked" if gone else "missing", "it was not kept" if gone else "it is not there")
    else:
        try:
            path = crate.path(id_)
        except UnsafePath as error:
            return Check(id_, "damaged", error.message)
        if not path.is_file():
            return Check(id_, "missing", "it is not there")
    return _compared(id_, path, entity)


def _compared(id_: str, path: Path, entity: Mapping[str, Any]) -> Check:
    size = str(entity.get("contentSize") or "")
    try:
        actual = path.stat().st_size
        if size.isdecimal() and actual != int(size):
            return Check(id_, "damaged", f"it has {actual} bytes, and not {size}")
        for algorithm in _ALGORITHMS:
            if algorithm in entity:
                with path.open("rb") as stream:
                    digest = hashlib.file_digest(stream, algorithm).hexdigest()
                if digest != str(entity[algorithm]).lower():
                    return Check(id_, "damaged", f"its {algorithm} checksum is {digest}, and not {entity[algorithm]}")
                return Check(id_, "ok")
    except OSError as error:
        return Check(id_, "damaged", f"it cannot be read: {error.strerror}")
    return Check(id_, "unchecked", "the crate has no checksum of it")


def _known(entity: Mapping[str, Any]) -> dict[str, Any]:
    size = str(entity.get("contentSize") or "")
    known: dict[str, Any] = {"size": int(size) if size.isdecimal() else None, "sha1": entity.get("sha1")}
    identifier = str(entity.get("identifier") or "")
    if identifier.startswith("adler32:"):
        known["adler32"] = identifier.removeprefix("adler32:")
    return known
