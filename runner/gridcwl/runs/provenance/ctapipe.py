"""ctapipe's own provenance: what a tool of ctapipe has logged of itself, folded into the action of its job.

ctapipe writes a JSON list of activities (``ctapipe.core.provenance``). Of what it knows of the machine only versions
are taken: the environment that it may list is nobody's business.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

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
        if path.stat().st_size > _LARGEST:
            return []
        read = json.loads(path.read_bytes())
    except (OSError, ValueError, RecursionError):
        return []
    if not isinstance(read, list):
        return []
    return [one for one in read if isinstance(one, dict) and "activity_name" in one and "activity_uuid" in one]


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
