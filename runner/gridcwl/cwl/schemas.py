"""CWL's own schemas, kept on disk once they have been parsed.

cwltool parses the YAML of two versions of the standard at every start: a second of CPU. What comes out depends only on
the versions of the libraries, so it is pickled into the user's cache folder and found there by a digest of them.
"""

from __future__ import annotations

import copyreg
import hashlib
import io
import logging
import os
import pickle
import sys
import tempfile
from importlib.metadata import version as installed
from importlib.resources import files
from pathlib import Path
from typing import Any

from cwltool import process
from platformdirs import user_cache_path
from schema_salad import schema
from schema_salad.ref_resolver import NormDict

from gridcwl import __version__

log = logging.getLogger("gridcwl.cwl")

_EXTENSIONS = {
    "v1.0": "extensions.yml",
    "v1.1": "extensions-v1.1.yml",
    "v1.2": "extensions-v1.2.yml",
    "v1.3.0-dev1": "extensions-v1.3.yml",
}
_LIBRARIES = ("cwltool", "schema-salad", "cwl-utils", "ruamel.yaml")
_CLASSES = {
    "SCHEMA_ANY": "https://w3id.org/cwl/salad#Any",
    "SCHEMA_FILE": "https://w3id.org/cwl/cwl#File",
    "SCHEMA_DIR": "https://w3id.org/cwl/cwl#Directory",
}
"""What every process needs of v1.0, whatever its own version (cwltool/process.py, ``Process.__init__``)."""


def use_extensions() -> None:
    """Switch on cwltool's own extensions to the standard, such as Secrets and CUDARequirement, in every version."""
    for version, name in _EXTENSIONS.items():
        if version not in process.custom_schemas:
            text = files("cwltool").joinpath(name).read_text("utf-8")
            process.use_custom_schema(version, "http://commonwl.org/cwltool", text)


def load_schema(version: Any) -> None:
    """Give cwltool the schema of this version, from the cache folder if it is there; else keep it there.

    An unknown version is left for cwltool to complain of. A cache that cannot be read or written only costs time.
    """
    if version not in _EXTENSIONS or (version in process.SCHEMA_CACHE and process.SCHEMA_FILE is not None):
        return
    path = _cache_file(version)
    kept = _read(path)
    if kept is None:
        loader, names, metadata, _ = process.get_schema(version)
        process.get_schema("v1.0")
        index = process.SCHEMA_CACHE["v1.0"][3].idx
        classes = {name: index[uri] for name, uri in _CLASSES.items()}
        kept = (loader, names, metadata, classes, schema.get_metaschema())
        _write(path, kept)
    loader, names, metadata, classes, schema.cached_metaschema = kept
    process.SCHEMA_CACHE.setdefault(version, (loader, names, metadata, loader))
    for name, value in classes.items():
        setattr(process, name, value)


def _cache_file(version: str) -> Path:
    parts = [__version__, sys.version, version, *(f"{name} {installed(name)}" for name in _LIBRARIES)]
    digest = hashlib.sha256("\n".join(parts).encode()).hexdigest()[:16]
    return user_cache_path("gridcwl") / "schemas" / f"{version}-{digest}.pickle"


def _read(path: Path) -> Any:
    try:
        with path.open("rb") as stream:
            # Unpickling runs what it finds: only what we ourselves wrote is read.
            if os.fstat(stream.fileno()).st_uid != os.geteuid() or os.fstat(stream.fileno()).st_mode & 0o022:
                return None
            return pickle.load(stream)  # noqa: S301
    except FileNotFoundError:
        return None
    except Exception as error:  # noqa: BLE001  a damaged file raises anything
        log.debug("the kept schema %s cannot be read: %s", path, error)
        return None


def _write(path: Path, value: Any) -> None:
    try:
        path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        pickled = io.BytesIO()
        pickler = pickle.Pickler(pickled, protocol=pickle.HIGHEST_PROTOCOL)
        pickler.dispatch_table = copyreg.dispatch_table.copy()
        pickler.dispatch_table[NormDict] = _reduce_norm_dict
        pickler.dump(value)
        descriptor, temporary = tempfile.mkstemp(dir=path.parent)
        with open(descriptor, "wb") as stream:  # noqa: PTH123
            stream.write(pickled.getvalue())
        Path(temporary).replace(path)
    except Exception as error:  # noqa: BLE001  it is only a cache
        log.debug("the schema cannot be kept in %s: %s", path, error)


def _reduce_norm_dict(value: Any) -> Any:
    """NormDict would be filled before it has the function that it normalises its keys with."""
    return _norm_dict, (value.normalize, dict(value))


def _norm_dict(normalize: Any, items: dict[str, Any]) -> Any:
    made = NormDict(normalize)
    made.update(items)
    return made
