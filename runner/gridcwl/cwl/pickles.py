"""Python objects of ours kept in the user's cache folder, and cwltool's among them, which pickle cannot do alone."""

from __future__ import annotations

import copyreg
import hashlib
import io
import logging
import os
import pickle
import re
import sys
import tempfile
from collections import ChainMap
from collections.abc import Callable, Mapping
from functools import cache, partial
from importlib.metadata import version as installed
from pathlib import Path
from typing import Any

import cwltool
from platformdirs import user_cache_path
from ruamel.yaml.comments import CommentedMap, CommentedSeq
from schema_salad.ref_resolver import NormDict

from gridcwl import __version__
from gridcwl.config import private_folder

log = logging.getLogger("gridcwl.cwl")

_LIBRARIES = ("cwltool", "schema-salad", "cwl-utils", "ruamel.yaml")
_LIBRARY = re.compile(r"(?:cwltool|schema_salad|cwl_utils|ruamel[._]yaml)-\d.*\.dist-info$")


def cache_file(kind: str, name: str, *parts: str) -> Path:
    """Where to keep what depends on these parts, and on the versions of Python, the libraries and gridcwl."""
    versions = (__version__, _own_state(), sys.version, *_libraries())
    digest = hashlib.sha256("\n".join((*versions, *parts)).encode("utf-8", "surrogateescape")).hexdigest()[:32]
    return user_cache_path("gridcwl") / kind / f"{name}-{digest}.pickle"


@cache
def _libraries() -> tuple[str, ...]:
    """The versions of the libraries, by the names of their folders: to parse their metadata takes longer than a run."""
    folder = str(Path(cwltool.__file__).parents[1])
    found = [path.name for path in Path(folder).iterdir() if _LIBRARY.match(path.name)]
    if len(found) != len(_LIBRARIES):  # they are somewhere else, as source trees
        return tuple(f"{library} {installed(library)}" for library in _LIBRARIES)
    return (folder, *sorted(found))


@cache
def _own_state() -> str:
    """What distinguishes this source from another of the same version: they are edited while they are developed."""
    modules = sorted(Path(__file__).parent.rglob("*.py"))
    return ",".join(f"{path.name}:{path.stat().st_mtime_ns}" for path in modules)


def read_pickle(path: Path) -> Any:
    """What was kept there; None if nothing was, or if it cannot be read."""
    try:
        with path.open("rb") as stream:
            # Unpickling runs what it finds: only what we ourselves wrote is read.
            if os.fstat(stream.fileno()).st_uid != os.geteuid() or os.fstat(stream.fileno()).st_mode & 0o022:
                return None
            return pickle.load(stream)  # noqa: S301
    except FileNotFoundError:
        return None
    except Exception as error:  # noqa: BLE001  a damaged file raises anything
        log.debug("what is kept in %s cannot be read: %s", path, error)
        return None


def write_pickle(path: Path, value: Any) -> None:
    """Keep a value. That it cannot be kept only costs time, later."""
    pickled = dumps(value)
    if pickled is None:
        return
    try:
        private_folder(path.parent)
        descriptor, temporary = tempfile.mkstemp(dir=path.parent)
        with open(descriptor, "wb") as stream:  # noqa: PTH123
            stream.write(pickled)
        Path(temporary).replace(path)
    except OSError as error:
        log.debug("nothing can be kept in %s: %s", path, error)


def clear_out(folder: Path, most: int) -> None:
    """Remove what was kept longest ago, if there is more than this."""
    try:
        kept = list(folder.iterdir())
        if len(kept) > most:
            for path in sorted(kept, key=lambda path: path.stat().st_mtime)[: len(kept) - most // 2]:
                path.unlink(missing_ok=True)
    except OSError as error:  # another run clears out as well
        log.debug("%s cannot be cleared out: %s", folder, error)


def dumps(value: Any, left_out: Mapping[type, Callable[[Any], bool]] | None = None) -> bytes | None:
    """A value as bytes; None if something in it cannot be pickled.

    Args:
        value: anything.
        left_out: types, and which objects of them will be None.
    """
    stream = io.BytesIO()
    pickler = pickle.Pickler(stream, pickle.HIGHEST_PROTOCOL)
    # By type, not by persistent_id: that would be asked for each of a million strings.
    omitting: dict[type, Any] = {kind: partial(_reduce_unless, omit) for kind, omit in (left_out or {}).items()}
    pickler.dispatch_table = ChainMap(omitting, _TABLE)
    try:
        pickler.dump(value)
    except Exception as error:  # noqa: BLE001  as many kinds as there are objects
        log.debug("%s cannot be kept: %s", type(value).__name__, error)
        return None
    return stream.getvalue()


def loads(pickled: bytes) -> Any:
    """What :func:`dumps` made into bytes; None if it cannot be read."""
    try:
        return pickle.loads(pickled)  # noqa: S301  of a file that read() has found to be ours
    except Exception as error:  # noqa: BLE001  a damaged file raises anything
        log.debug("what is kept cannot be read: %s", error)
        return None


def _reduce_unless(omit: Callable[[Any], bool], value: Any) -> Any:
    return (_nothing, ()) if omit(value) else value.__reduce_ex__(pickle.HIGHEST_PROTOCOL)


def _nothing() -> None:
    """In place of what was left out."""


def _reduce_norm_dict(value: Any) -> Any:
    """NormDict would be filled before it has the function that it normalises its keys with."""
    return _norm_dict, (value.normalize, dict(value))


def _norm_dict(normalize: Any, items: dict[str, Any]) -> Any:
    made = NormDict(normalize)
    made.update(items)
    return made


def _reduce_commented_map(value: Any) -> Any:
    """ruamel's containers would be filled before they have the attributes that they note their keys in."""
    return CommentedMap, (), vars(value), None, iter(value.items())


def _reduce_commented_seq(value: Any) -> Any:
    return CommentedSeq, (), vars(value), iter(value)


_TABLE = ChainMap(
    {NormDict: _reduce_norm_dict, CommentedMap: _reduce_commented_map, CommentedSeq: _reduce_commented_seq},
    copyreg.dispatch_table,
)
