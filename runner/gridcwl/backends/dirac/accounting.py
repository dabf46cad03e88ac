"""What DIRAC's accounting has of jobs (its type ``Job``): added up by run, which is their JobGroup, or by site.

JobWrappers report there when a job ends. The service ReportGenerator answers with sums, made for plots: in days, or for
each bucket of time. Times are whole seconds for each DIRAC job, so those of very short jobs are lost.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any, Literal

from gridcwl.backends.base import AccountedUsage
from gridcwl.model.chunks import chunks

SERVICE = "Accounting/ReportGenerator"
By = Literal["run", "site"]
_GROUPINGS: dict[By, str] = {"run": "JobGroup", "site": "Site"}
_DAY_S, _MB = 86_400, 10**6
_AT_A_TIME = 200
"""Runs in one query."""
_SUMS = {"jobs": ("TotalNumberOfJobs", 1), "cpu_s": ("TotalCPUUsed", _DAY_S), "wall_s": ("TotalWallTime", _DAY_S)}
"""Reports with one number for each group, and what makes it seconds."""
_GROWING = {
    "norm_cpu_hours": ("NormCPUUsed", 1),
    "input_bytes": ("CumulativeInputDataSize", _MB),
    "output_bytes": ("CumulativeOutputDataSize", _MB),
}
"""Reports that add up over time: the last number counts."""


def accounted(
    ask: Callable[[Mapping[str, Any]], Mapping[str, Any]],
    runs: Sequence[str],
    by: By,
    since: float | None,
    now: float,
) -> list[AccountedUsage]:
    """What DIRAC's accounting has of these runs.

    Args:
        ask: the method ``getReport`` of the service, which returns its value.
        runs: their ids.
        by: what is added up.
        since: seconds since 1970; None for all.
        now: the time.
    """
    start = datetime.fromtimestamp(since if since is not None else now - 10 * 365 * _DAY_S, UTC).replace(tzinfo=None)
    end = datetime.fromtimestamp(now, UTC).replace(tzinfo=None) + timedelta(days=1)
    found: dict[str, dict[str, float]] = {}
    for some in chunks(runs, _AT_A_TIME):
        condition = {"JobGroup": list(some)}
        for field, (report, factor) in {**_SUMS, **_GROWING}.items():
            query = {
                "typeName": "Job",
                "reportName": report,
                "startTime": start,
                "endTime": end,
                "condDict": condition,
                "grouping": _GROUPINGS[by],
                "extraArgs": {"staticUnits": True},
            }
            for name, value in dict(ask(query).get("data") or {}).items():
                group = found.setdefault(str(name), {})
                group[field] = group.get(field, 0.0) + factor * _number(value)
    return [_made(name, values) for name, values in sorted(found.items())]


def _number(value: Any) -> float:
    """A sum, or the last of a series that only grows."""
    return max(map(float, value.values()), default=0.0) if isinstance(value, Mapping) else float(value)


def _made(name: str, values: dict[str, float]) -> AccountedUsage:
    return AccountedUsage(name, **{**values, "jobs": round(values.get("jobs", 0))})  # type: ignore[arg-type]
