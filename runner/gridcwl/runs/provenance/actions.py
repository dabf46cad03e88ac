"""Retrospective provenance: what ran, as actions of a crate. Pure functions on rows of the journal."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any
from urllib.parse import quote

from gridcwl.model import JobResult, Outcome
from gridcwl.runs.record.journal_rows import Attempt, JobRow

Entity = dict[str, Any]

DONE = "http://schema.org/CompletedActionStatus"
FAILED = "http://schema.org/FailedActionStatus"
ACTIVE = "http://schema.org/ActiveActionStatus"
_TERMS = "https://gridcwl.readthedocs.io/en/latest/reference/crate/"
_DOCKER = "https://w3id.org/ro/terms/workflow-run#DockerImage"
_UNITS = "https://qudt.org/vocab/unit/"
_USAGE = (
    ("wall_s", "wall-time", "SEC"),
    ("cpu_s", "cpu-time", "SEC"),
    ("max_rss_mib", "peak-memory", "MebiBYTE"),
    ("read_bytes", "bytes-read", "BYTE"),
    ("written_bytes", "bytes-written", "BYTE"),
    ("disk_bytes", "disk", "BYTE"),
)
"""Fields of ``Usage``, the names that they get, and their units."""


@dataclass(frozen=True, slots=True)
class JobFacts:
    """What the journal has of a job that ended."""

    row: JobRow
    last: Attempt
    result: JobResult
    image: str
    """The image that its tool named; empty for none."""


def action_id(name: str) -> str:
    """The id of the action of a job, an expression or a workflow."""
    return f"#action/{quote(name)}" if name else "#action"


def times(facts: JobFacts) -> tuple[float, float]:
    """When a job's last attempt began and ended, in seconds since 1970."""
    usage = facts.result.usage
    end = facts.last.ended
    start = facts.row.started
    if usage is not None:
        try:
            begun = datetime.fromisoformat(usage.started.replace("Z", "+00:00"))
        except ValueError:
            begun = None
        if begun is not None:
            start = begun.replace(tzinfo=begun.tzinfo or UTC).timestamp()
            end = start + usage.wall_s
    return (start if start is not None else end - (facts.last.wall_s or 0.0)), end


def job_action(facts: JobFacts, tool: str) -> tuple[Entity, list[Entity]]:
    """The action of a job, and the entities that it refers to; without its parameters."""
    row, result = facts.row, facts.result
    id_ = action_id(row.name)
    start, end = times(facts)
    more: list[Entity] = []
    made: Entity = {
        "@id": id_,
        "@type": "CreateAction",
        "name": f"Run of {row.name}",
        "description": _description(facts),
        "instrument": {"@id": tool},
        "startTime": iso(start),
        "endTime": iso(end),
        "actionStatus": DONE if row.outcome == Outcome.SUCCESS else FAILED,
    }
    if made["actionStatus"] == FAILED:
        code = f"exit code {result.exit_code}" if result.exit_code is not None else str(row.outcome)
        made["error"] = facts.last.reason or code
    if facts.image:
        image = container_image(facts.image, result.image)
        made["containerImage"] = {"@id": image["@id"]}
        more.append(image)
    usage = list(_usage(id_, result, row.attempt))
    made["resourceUsage"] = [{"@id": one["@id"]} for one in usage]
    more += usage
    place = (result.usage.site or result.usage.host if result.usage is not None else "") or row.place or ""
    if place:
        made["location"] = {"@id": f"#place/{quote(place)}"}
        more.append({"@id": f"#place/{quote(place)}", "@type": "Place", "name": place})
    batch_job = result.usage.batch_job if result.usage is not None else ""
    made["identifier"] = [row.job, f"DIRAC job {batch_job}"] if batch_job else row.job
    return made, more


def _description(facts: JobFacts) -> str:
    row = facts.row
    if row.reused:
        return f"Job {row.job}. It did not run: its result was taken from {row.reused}."
    tries = f", attempt {row.attempt}" if row.attempt > 1 else ""
    earlier = ", in an earlier session of the run" if row.made_in != row.session else ""
    return f"Job {row.job}{tries}{earlier}."


def _usage(owner: str, result: JobResult, attempts: int) -> Iterator[Entity]:
    base = f"#usage/{owner.removeprefix('#action/')}"
    for field_, name, unit in _USAGE:
        value = getattr(result.usage, field_, None)
        if value is not None:
            yield _amount(f"{base}/{name}", name, value, f"{_UNITS}{unit}")
    if attempts > 1:
        yield _amount(f"{base}/attempts", "attempts", attempts, f"{_UNITS}NUM")


def _amount(id_: str, name: str, value: float, unit: str) -> Entity:
    return {
        "@id": id_,
        "@type": "PropertyValue",
        "name": name,
        "propertyID": f"{_TERMS}#{name}",
        "value": f"{value:.10g}" if isinstance(value, float) else str(value),
        "unitCode": unit,
    }


def container_image(named: str, ran: str) -> Entity:
    """The entity of an image.

    Args:
        named: as the document names it.
        ran: the digest that the engine had: ``debian@sha256:...`` or ``sha256:...``; may be empty.
    """
    name, _, tag = named.rpartition(":") if ":" in named.rpartition("/")[2] else (named, "", "")
    name, _, pinned = (name or named).partition("@")
    digest = ran.rpartition("sha256:")[2] if "sha256:" in ran else pinned.removeprefix("sha256:")
    first, _, rest = name.partition("/")
    registry = first if rest and ("." in first or ":" in first or first == "localhost") else "docker.io"
    made: Entity = {
        "@id": f"#image/{quote(named, safe='/:@')}" + (f"@sha256:{digest}" if digest and "@" not in named else ""),
        "@type": "ContainerImage",
        "additionalType": {"@id": _DOCKER},
        "registry": registry,
        "name": rest if registry != "docker.io" else name,
    }
    if tag and "@" not in tag:
        made["tag"] = tag
    if digest:
        made["sha256"] = digest
    return made


def image_in(common: bytes) -> str:
    """The image that a job's description names."""
    image = json.loads(common).get("image")
    return str(image.get("id") or "") if isinstance(image, Mapping) else ""


def iso(seconds: float | None) -> str | None:
    """A time as ISO 8601, with its zone."""
    return None if seconds is None else datetime.fromtimestamp(seconds, UTC).isoformat(timespec="milliseconds")
