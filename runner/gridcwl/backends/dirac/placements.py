"""Placement files: the fields of ``gridcwl:Placement`` by step name, in YAML."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import fields, replace
from pathlib import Path
from typing import Any

from gridcwl.errors import ConfigError
from gridcwl.model import Placement


def read_placements(name: str) -> dict[str, dict[str, Any]]:
    """The steps of a placement file.

    Raises:
        ConfigError: it cannot be read, or has a field that is not one of ``gridcwl:Placement``.
    """
    from ruamel.yaml import YAML
    from ruamel.yaml.error import YAMLError

    try:
        written = YAML(typ="safe").load(Path(name).read_text("utf-8"))
    except (OSError, UnicodeDecodeError, YAMLError) as error:
        why = error.strerror if isinstance(error, OSError) else str(error)
        raise ConfigError(f"The placement file {name} cannot be read: {why}") from error
    if not isinstance(written, dict) or not all(isinstance(about, dict) for about in written.values()):
        raise ConfigError(
            f"The placement file {name} has to be a table of steps",
            remedy="For example:\n  align/sort:\n    sites: [LCG.Lyon.fr]\n    priority: 5",
        )
    for step, about in written.items():
        placement_from_table(step, about)
    return written


def placement_from_table(step: str, about: Mapping[str, Any]) -> Placement:
    """A step's table in a placement file, or in the options.

    Raises:
        ConfigError: it has a field that is not one of ``gridcwl:Placement``.
    """
    known = {"jobType": "job_type"} | {
        entry.name: entry.name for entry in fields(Placement) if entry.name != "cpu_work"
    }
    strangers = about.keys() - known.keys()
    if strangers:
        raise ConfigError(
            f"The placement of {step} has no field {sorted(strangers)[0]!r}",
            remedy="It has: sites, banned, tags, platform, priority, jobType.",
        )
    made = Placement()
    for name, value in about.items():
        listed = name in ("sites", "banned", "tags")
        if listed and not isinstance(value, list | tuple):
            raise ConfigError(f"{name} of the placement of {step} is {value!r}, but must be a list of names")
        change: dict[str, Any] = {known[name]: tuple(value) if listed else value}
        made = replace(made, **change)
    return made
