"""ctapipe's own provenance: what a tool of ctapipe has logged of itself, folded into the action of its job.

ctapipe writes a JSON list of activities (``ctapipe.core.provenance``). Of what it knows of the machine only versions
are taken: the environment that it may list is nobody's business.

Such logs are often intermediate files, which are removed with the run's working folder. What they say is therefore kept
with the record of the run.
"""

from __future__ import annotations

import contextlib
import gzip
import hashlib
import json
import zlib
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

from gridcwl.config import private_folder

Entity = dict[str, Any]

_LARGEST = 16 << 20
_CONFIG = 64 << 10
_NAMES = (".provenance.log", ".provenance.json")


def is_log(basename: str) -> bool:
    """Whether a file may be such a log, by its name."""
    return basename.endswith(_NAMES) or basename in ("provenance.log", "ctapipe-provenance.log")


def activities(path: Path) -> list[Mapping[str, Any]]:
    """The activities in a log; none if it is none."""
    try:
        return _read(path.read_bytes()) if path.stat().st_size <= _LARGEST else []
    except OSError:
        return []


def _read(text: bytes) -> list[Mapping[str, Any]]:
    """The activities in one list, or in several, one after the other: a tool may append to its log."""
    decoder, found = json.JSONDecoder(), []
    try:
        rest = text.decode().strip()
        while rest:
            value, end = decoder.raw_decode(rest)
            found += value if isinstance(value, list) else []
            rest = rest[end:].lstrip()
    except (ValueError, RecursionError):
        return []
    return [one for one in found if isinstance(one, dict) and "activity_name" in one and "activity_uuid" in one]


def keep(path: Path, location: str, folder: Path, hide: Callable[[str], str]) -> None:
    """Keep what a log says, without the environment that it may list.

    Args:
        path: of the log; nothing is kept if it is none.
        location: its URL, under which it is found again.
        folder: where such logs of the run are kept.
        hide: masks secrets in a text.
    """
    found = activities(path)
    if not found:
        return
    plain = [{**one, "system": {**_mapping(one.get("system")), "environment": None}} for one in found]
    with contextlib.suppress(OSError):  # the record of the job is not lost for that
        private_folder(folder)
        (folder / _kept_name(location)).write_bytes(gzip.compress(hide(json.dumps(plain)).encode(), 1))


def kept(location: str, folder: Path) -> list[Mapping[str, Any]]:
    """The activities in a log that was kept; none if it was not."""
    try:
        with gzip.open(folder / _kept_name(location)) as stream:
            return _read(stream.read(2 * _LARGEST))
    except (OSError, EOFError, zlib.error):
        return []


def _kept_name(location: str) -> str:
    return f"{hashlib.sha1(location.encode('utf-8', 'surrogateescape'), usedforsecurity=False).hexdigest()}.json.gz"


def properties(action: str, found: list[Mapping[str, Any]]) -> Iterator[Entity]:
    """What an action says of the activities of its tool."""
    for number, activity in enumerate(found):
        for name, value in _facts(activity):
            yield {
                "@id": f"#ctapipe/{action.removeprefix('#action/')}/{number}/{name}",
                "@type": "PropertyValue",
                "name": f"ctapipe {name}",
                "propertyID": f"https://ctapipe.readthedocs.io/en/stable/api-reference/core/provenance.html#{name}",
                "value": value,
            }


def _facts(activity: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    system = _mapping(activity.get("system"))
    python = _mapping(system.get("python"))
    for name, value in (
        ("activity_name", activity.get("activity_name")),
        ("activity_uuid", activity.get("activity_uuid")),
        ("status", activity.get("status")),
        ("start", _mapping(activity.get("start")).get("time_utc")),
        ("stop", _mapping(activity.get("stop")).get("time_utc")),
        ("duration_min", activity.get("duration_min")),
        ("ctapipe_version", system.get("ctapipe_version")),
        ("python", python.get("version_string")),
        ("packages", _packages(python.get("packages"))),
        ("input", _files(activity.get("input"))),
        ("output", _files(activity.get("output"))),
        ("config", _config(activity.get("config"))),
    ):
        if value not in (None, ""):
            yield name, str(value)


def _mapping(value: Any) -> Mapping[str, Any]:
    return value if isinstance(value, Mapping) else {}


def _packages(value: Any) -> str:
    found = value if isinstance(value, list) else []
    return ", ".join(f"{one.get('name')} {one.get('version')}" for one in found if isinstance(one, dict))


def _files(value: Any) -> str:
    """The files that an activity has noted, with what they were for, by their names."""
    found = value if isinstance(value, list) else []
    named = [
        f"{one.get('role') or 'file'}: {str(one.get('url')).rpartition('/')[2]}"
        for one in found
        if isinstance(one, dict)
    ]
    return ", ".join(named)


def _config(value: Any) -> str:
    text = json.dumps(value, sort_keys=True, default=str) if value else ""
    return text if len(text) <= _CONFIG else text[:_CONFIG] + " ..."
