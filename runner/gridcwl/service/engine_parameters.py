"""Engine parameters of WES: those that a client may set, by name, and what they become. All others are refused.

Runners' clients send their own command line. What only changes what is printed, or where a client wants its outputs, is
accepted and has no effect: outputs are always kept by the service.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from gridcwl.model.grouping import read_grouping
from gridcwl.service.problems import BadRequest
from gridcwl.suggest import did_you_mean

_MOST_RETRIES = 10
_LONGEST_EVALUATION_S = 300
_TRUE = ("", "true", "1", "yes")
_FALSE = ("false", "0", "no")


@dataclass(frozen=True, slots=True)
class Parameter:
    """One that has an effect."""

    name: str
    kind: str
    default: str
    setting: str
    read: Callable[[str], Any]


def _switch(value: str) -> bool:
    if value.lower() in _TRUE:
        return True
    if value.lower() in _FALSE:
        return False
    raise ValueError("takes true or false")


def _number(least: int, most: int) -> Callable[[str], int]:
    def read(value: str) -> int:
        if not value.isascii() or not value.isdigit() or not least <= int(value[:9]) <= most:
            raise ValueError(f"takes a whole number from {least} to {most}")
        return int(value)

    return read


def _one_of(*words: str) -> Callable[[str], str]:
    def read(value: str) -> str:
        if value not in words:
            raise ValueError(f"takes one of: {', '.join(words)}")
        return value

    return read


def _text(value: str) -> str:
    if not value or len(value) > 500 or not value.isprintable():
        raise ValueError("takes a text")
    return value


def _texts(value: str) -> list[str]:
    return [_text(one.strip()) for one in value.split(",")]


PARAMETERS = (
    Parameter("--on-error", "string", "stop", "on_error", _one_of("stop", "continue")),
    Parameter("--retries", "integer", "0", "retries", _number(0, _MOST_RETRIES)),
    Parameter("--site", "string", "", "sites", _texts),
    Parameter("--max-jobs", "integer", "", "max_jobs", _number(1, 100_000)),
    Parameter("--cap-resources", "boolean", "false", "cap_resources", _switch),
    Parameter("--cache", "boolean", "false", "cache", _switch),
    Parameter("--enable-dev", "boolean", "false", "enable_dev", _switch),
    Parameter("--skip-schemas", "boolean", "false", "skip_schemas", _switch),
    Parameter("--non-strict", "boolean", "false", "strict", lambda value: not _switch(value)),
    Parameter("--eval-timeout", "integer", "60", "eval_timeout", _number(1, _LONGEST_EVALUATION_S)),
    Parameter("--strict-memory-limit", "boolean", "false", "strict_memory_limit", _switch),
    Parameter("--strict-cpu-limit", "boolean", "false", "strict_cpu_limit", _switch),
    Parameter("--target", "string", "", "targets", _texts),
    Parameter("--single-step", "string", "", "single_step", _text),
    Parameter("--single-process", "string", "", "single_process", _text),
    Parameter("--group", "string", "", "group", _text),
    Parameter("--chunks", "string", "", "chunks", _text),
    Parameter("--balance", "string", "", "balance", _one_of("size", "events")),
)
_BY_NAME = {parameter.name.lstrip("-"): parameter for parameter in PARAMETERS}
WITHOUT_EFFECT = frozenset(
    [
        "outdir",
        "quiet",
        "debug",
        "verbose",
        "no-warnings",
        "timestamps",
        "enable-color",
        "disable-color",
        "no-color",
        "color",
        "rm-tmpdir",
        "relax-path-checks",
        "rm-container",
        "compute-checksum",
        "parallel",
        "strict",
        "clean",
        "logLevel",
        "logFile",
    ]
)
"""Without hyphens before them."""


def settings_of(written: Mapping[str, Any]) -> dict[str, Any]:
    """The settings that engine parameters stand for.

    Args:
        written: by name, with hyphens before it or without; values are texts, or null for an option without one.

    Raises:
        BadRequest: one may not be set, or does not take its value.
    """
    settings: dict[str, Any] = {}
    for name, value in written.items():
        plain = name.lstrip("-").replace("_", "-")
        if plain in WITHOUT_EFFECT or name.lstrip("-") in WITHOUT_EFFECT:
            continue
        parameter = _BY_NAME.get(plain)
        if parameter is None:
            raise BadRequest(
                f"workflow_engine_parameters has {name[:80]!r}, which clients may not set. "
                f"{did_you_mean(plain, list(_BY_NAME))} "
                f"They may set: {', '.join(one.name for one in PARAMETERS)}."
            )
        if isinstance(value, list | dict):
            raise BadRequest(f"The engine parameter {name[:80]} is a list or an object, but takes a text")
        if value is None:
            value = ""  # noqa: PLW2901  an option without a value
        text = value if isinstance(value, str) else json.dumps(value)
        try:
            settings[parameter.setting] = parameter.read(text)
        except ValueError as error:
            raise BadRequest(f"The engine parameter {name} is {text[:80]!r}, but {error}") from None
    try:
        read_grouping(settings.get("group"), settings.get("chunks"), settings.get("balance"))
    except ValueError as error:
        raise BadRequest(f"The engine parameters do not fit each other: {error}") from None
    return settings


def described() -> list[dict[str, str]]:
    """As ``ServiceInfo.default_workflow_engine_parameters``: a flat list."""
    return [
        {"name": parameter.name, "type": parameter.kind, "default_value": parameter.default} for parameter in PARAMETERS
    ]
