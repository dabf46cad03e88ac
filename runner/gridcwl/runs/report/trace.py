"""One row for each job, as Nextflow's trace has it, and the same in JSON. Written one by one: memory does not grow.

Columns that Nextflow has keep its names. Times are seconds, dates are UTC, sizes are bytes; an empty cell is unknown.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from datetime import UTC, datetime
from typing import Any

from gridcwl.model import Resources
from gridcwl.runs.record.job_records import AttemptRecord, JobRecord

_MIB = 1 << 20
_CONTROL = re.compile(r"[\x00-\x1f\x7f]+")


def _dated(at: float | None) -> str | None:
    return (
        None
        if at is None
        else datetime.fromtimestamp(at, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
    )


def _rounded(number: float | None, digits: int = 3) -> float | None:
    return None if number is None else round(number, digits)


def row_of(record: JobRecord, image: Callable[[int], str]) -> dict[str, Any]:
    """One job as plain values.

    Args:
        record: of the job; its last attempt counts.
        image: the name of the image by the number of ``JobRecord.common``.
    """
    last = record.last
    usage = last.usage if last is not None else None
    asked = (last.requested if last is not None else None) or record.requested
    return {
        "task_id": record.job,
        "native_id": usage.batch_job if usage is not None else "",
        "process": record.step,
        "name": record.name,
        "status": record.state,
        "exit": last.exit_code if last is not None else None,
        "attempts": len(record.attempts),
        "how": record.how,
        "origin": record.origin,
        "submit": _dated(last.submitted if last is not None else record.submitted),
        "start": _dated(last.started if last is not None else record.started),
        "complete": _dated(last.finished) if last is not None else None,
        "queue_s": _rounded(last.queued_s) if last is not None else None,
        "realtime_s": _rounded(usage.wall_s) if usage is not None else None,
        **_used(last),
        **_asked(asked),
        "site": (usage.site if usage is not None else "") or "",
        "hostname": (usage.host if usage is not None else "") or record.place,
        "container": image(record.common),
        "digest": last.image if last is not None else "",
        "reason": last.reason if last is not None else "",
    }


def _used(last: AttemptRecord | None) -> dict[str, Any]:
    usage = last.usage if last is not None else None
    if usage is None:
        return dict.fromkeys(("cpu_time_s", "%cpu", "peak_rss", "rchar", "wchar", "disk_used", "fetched"))
    return {
        "cpu_time_s": _rounded(usage.cpu_s),
        "%cpu": _rounded(100 * usage.cpu_s / usage.wall_s, 1) if usage.cpu_s is not None and usage.wall_s else None,
        "peak_rss": None if usage.max_rss_mib is None else round(usage.max_rss_mib * _MIB),
        "rchar": usage.read_bytes,
        "wchar": usage.written_bytes,
        "disk_used": usage.disk_bytes,
        "fetched": usage.fetched_bytes,
    }


def _asked(asked: Resources | None) -> dict[str, Any]:
    if asked is None:
        return dict.fromkeys(("cpus", "memory", "disk", "time_s"))
    return {
        "cpus": asked.cores,
        "memory": asked.ram_mib * _MIB,
        "disk": (asked.out_mib + asked.tmp_mib) * _MIB,
        "time_s": asked.time_limit_s,
    }


COLUMNS = (
    *("task_id", "native_id", "process", "name", "status", "exit", "attempts", "how", "origin", "submit", "start"),
    *("complete", "queue_s", "realtime_s", "cpu_time_s", "%cpu", "peak_rss", "rchar", "wchar", "disk_used"),
    *("fetched", "cpus"),
    *("memory", "disk", "time_s", "site", "hostname", "container", "digest", "reason"),
)


def tsv_lines(rows: Iterable[Mapping[str, Any]]) -> Iterator[str]:
    """The head and the rows, each with its line feed."""
    yield "\t".join(COLUMNS) + "\n"
    for row in rows:
        yield "\t".join(_cell(row[column]) for column in COLUMNS) + "\n"


def _cell(value: Any) -> str:
    return (
        ""
        if value is None
        else _CONTROL.sub(" ", f"{value:g}" if isinstance(value, float) and value.is_integer() else str(value))
    )


def json_parts(plain: Mapping[str, Any], rows: Iterable[Mapping[str, Any]]) -> Iterator[str]:
    """The run, and its jobs under ``jobs``."""
    text = json.dumps(plain, indent=1)
    yield text[: text.rindex("}")].rstrip() + ',\n "jobs": [\n'
    for number, row in enumerate(rows):
        yield ("" if number == 0 else ",\n") + "  " + json.dumps(row)
    yield "\n ]\n}\n"
