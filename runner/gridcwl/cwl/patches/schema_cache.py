"""CWL's own schemas, kept on disk once they have been parsed.

cwltool parses the YAML of two versions of the standard at every start: a second of CPU. What comes out depends only on
the versions of the libraries, so it is pickled into the user's cache folder and found there by a digest of them.

To be dropped when cwltool starts in a tenth of a second with schemas that it has parsed before.
"""

from __future__ import annotations

from importlib.resources import files
from typing import Any

from cwltool import process
from schema_salad import schema

from gridcwl.cwl import pickles
from gridcwl.cwl.patches.upstream import Upstream

UPSTREAM = (
    Upstream(
        "https://github.com/common-workflow-language/cwltool/blob/3.3.20260925135507/cwltool/process.py#L188",
        "get_schema",
        "3086f648a8ead47d",
    ),
    Upstream(
        "https://github.com/common-workflow-language/cwltool/blob/3.3.20260925135507/cwltool/process.py#L182",
        "use_custom_schema",
        "8a4e7ea1d728bce1",
    ),
    Upstream(
        "https://github.com/common-workflow-language/cwltool/blob/3.3.20260925135507/cwltool/process.py#L167",
        "SCHEMA_CACHE",
        "a7ddac42e9705664",
    ),
    Upstream(
        "https://github.com/common-workflow-language/cwltool/blob/3.3.20260925135507/cwltool/process.py#L168",
        "SCHEMA_FILE",
        "044908481da5e4ce",
    ),
    Upstream(
        "https://github.com/common-workflow-language/cwltool/blob/3.3.20260925135507/cwltool/process.py#L567",
        "Process.__init__",
        "03315d82434aa03a",
    ),
    Upstream(
        "https://github.com/common-workflow-language/schema_salad/blob/8.10.20260825112551/src/schema_salad/schema.py#L84",
        "get_metaschema",
        "a10d389d374e8cbf",
    ),
)

_EXTENSIONS = {
    "v1.0": "extensions.yml",
    "v1.1": "extensions-v1.1.yml",
    "v1.2": "extensions-v1.2.yml",
    "v1.3.0-dev1": "extensions-v1.3.yml",
}
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
    path = pickles.cache_file("schemas", version)
    kept = pickles.read_pickle(path)
    if kept is None:
        loader, names, metadata, _ = process.get_schema(version)
        process.get_schema("v1.0")
        index = process.SCHEMA_CACHE["v1.0"][3].idx
        classes = {name: index[uri] for name, uri in _CLASSES.items()}
        kept = (loader, names, metadata, classes, schema.get_metaschema())
        pickles.write_pickle(path, kept)
    loader, names, metadata, classes, schema.cached_metaschema = kept
    process.SCHEMA_CACHE.setdefault(version, (loader, names, metadata, loader))
    for name, value in classes.items():
        setattr(process, name, value)
