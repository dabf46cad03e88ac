"""``gridcwl usage``: what runs cost, from their journals, and from DIRAC's accounting."""

from __future__ import annotations

import argparse
import json
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from gridcwl.cli.tables import show
from gridcwl.runs.units import amount

if TYPE_CHECKING:
    from gridcwl.runs.usage import Cost, Costs

_MOST = 1000


def add_usage(parser: argparse.ArgumentParser) -> None:
    """Options of the command."""
    parser.add_argument("runs", nargs="*", metavar="RUN", help="only these runs (default: all)")
    parser.add_argument(
        "--since", metavar="WHEN", help="only jobs that ended since then: 2d, 12h, 2026-11-23, '2026-11-23 14:00'"
    )
    parser.add_argument(
        "--by", choices=("run", "step", "site", "tool"), default="run", help="what is added up (default: run)"
    )


def usage(given: argparse.Namespace) -> int:
    """Print it."""
    from gridcwl.runs.folder import find
    from gridcwl.runs.listing import point
    from gridcwl.runs.usage import costs

    since = point(given.since) if given.since else None
    folders = [find(given.state_dir, word).folder for word in given.runs] or None
    found = costs(given.state_dir, given.by, since=since, runs=folders)
    if given.json:
        print(json.dumps(_plain(found, given.by, since), indent=2))
        return 0
    _show(found, given)
    return 0


def _plain(found: Costs, by: str, since: float | None) -> dict[str, Any]:
    return {
        "by": by,
        "since": since,
        "groups": [cost.plain() for cost in found.groups],
        "total": found.total.plain(),
        "runs": list(found.runs),
        "unreadable": list(found.unreadable),
    }


def _show(found: Costs, given: argparse.Namespace) -> None:
    from gridcwl.runs.usage import labels

    names = dict(labels(given.state_dir, (cost.name for cost in found.groups[:_MOST]))) if given.by == "run" else {}
    columns = [given.by, "jobs", "failed", "core hours", "of failed", "CPU hours", "busy", "memory", "read", "written"]
    rows = [list(_row(cost)) for cost in (*found.groups[:_MOST], found.total)]
    if given.by == "run":
        columns.append("document")
        for row in rows:
            row.append(names.get(row[0], ""))
    show(columns, rows, right=columns[1:10], cut=(given.by, "document"), optional=("failed", "of failed"))
    if len(found.groups) > _MOST:
        print(f"... and {len(found.groups) - _MOST} more, counted in the total")
    if found.total.unmeasured:
        print(f"\n{found.total.unmeasured} of {found.total.attempts} attempts have no measured CPU time.")
    for run in found.unreadable:
        print(f"The record of the run {run} could not be read; it is not counted.")


def _row(cost: Cost) -> Iterator[str]:
    yield cost.name
    yield str(cost.jobs)
    yield str(cost.failed or "")
    yield hours(cost.core_s)
    yield hours(cost.failed_core_s) if cost.failed else ""
    yield hours(cost.cpu_s)
    yield f"{100 * cost.busy:.0f} %" if cost.busy is not None else ""
    yield f"{cost.max_rss_mib:,.0f} MiB" if cost.max_rss_mib is not None else ""
    yield amount(cost.read_bytes)
    yield amount(cost.written_bytes)


def hours(seconds: float) -> str:
    """``< 0.001``, ``0.412``, ``1.25``, ``1,234``."""
    value = seconds / 3600
    if value >= 1:
        return f"{value:,.0f}" if value >= 100 else f"{value:.3g}"
    return "< 0.001" if 0 < value < 0.001 else f"{value:.3f}"
