"""``gridcwl usage``: what runs cost, from their journals, and from the accounting of a backend."""

from __future__ import annotations

import argparse
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from gridcwl import plugins
from gridcwl.cli.tables import show
from gridcwl.errors import UsageError
from gridcwl.runs.units import amount

if TYPE_CHECKING:
    from gridcwl.backends.base import AccountedUsage
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

    parser.add_argument(
        "--backend",
        choices=plugins.backends_with("accounting"),
        help="compare with the accounting of a backend, by run or site (default: journals only)",
    )


def usage(given: argparse.Namespace) -> int:
    """Print it."""
    from gridcwl.runs.record.folder import find
    from gridcwl.runs.record.listing import point
    from gridcwl.runs.usage import costs, labels

    since = point(given.since) if given.since else None
    folders = [find(given.state_dir, word).folder for word in given.runs] or None
    if given.backend is not None and given.by not in ("run", "site"):
        raise UsageError(
            f"{_title(given.backend)}'s accounting cannot be added up by {given.by}",
            remedy="It knows runs and sites: --by run or --by site.",
        )
    found = costs(given.state_dir, given.by, since=since, runs=folders)
    remote = _accounting(given.backend, found.runs, given.by, since) if given.backend is not None else None
    if given.json:
        accounts = {given.backend: [asdict(one) for one in remote]} if remote is not None else {}
        print(json.dumps(plain_costs(found, given.by, since) | accounts, indent=2))
    elif remote is not None:
        _compare(found, remote, given.by, _title(given.backend))
    else:
        names = [cost.name for cost in found.groups[:_MOST]]
        show_costs(found, given.by, dict(labels(given.state_dir, names)) if given.by == "run" else {})
    return 0


def _title(backend: str) -> str:
    return plugins.backend(backend).title or backend


def _accounting(backend: str, runs: Sequence[str], by: str, since: float | None) -> list[AccountedUsage]:
    """What the backend's accounting has of these runs: those without a batch job are not in it."""
    if not runs:
        return []
    plugin = plugins.backend(backend)
    settings = plugins.configured(plugin, plugins.configuration())
    return list(plugins.call(plugin, "accounting", settings, runs, by, since))


def _compare(found: Costs, remote: Sequence[AccountedUsage], by: str, title: str) -> None:
    own = {cost.name: cost for cost in found.groups}
    columns = (
        *(by, f"{title} jobs", "jobs", f"{title} wall hours", "wall hours", f"{title} CPU hours", "CPU hours"),
        *("norm. CPU hours", f"{title} input", f"{title} output"),
    )
    rows = [list(_compared(one, own.get(one.name))) for one in remote]
    show(columns, rows, right=columns[1:], cut=(by,), optional=columns[7:])
    if missing := [name for name in own if name not in {one.name for one in remote}]:
        print(f"\n{len(missing)} of {len(own)} are not in {title}'s accounting: {', '.join(missing[:3])}")
        print("Records arrive some time after a job, and the service keeps its answers for ten minutes.")


def _compared(remote: AccountedUsage, own: Cost | None) -> Iterator[str]:
    yield remote.name
    yield str(remote.jobs)
    yield str(own.attempts) if own is not None else ""
    yield hours(remote.wall_s)
    yield hours(own.core_s) if own is not None else ""
    yield hours(remote.cpu_s)
    yield hours(own.cpu_s) if own is not None else ""
    yield hours(remote.norm_cpu_hours * 3600) if remote.norm_cpu_hours else ""
    yield amount(round(remote.input_bytes)) if remote.input_bytes else ""
    yield amount(round(remote.output_bytes)) if remote.output_bytes else ""


def plain_costs(found: Costs, by: str, since: float | None) -> dict[str, Any]:
    """Costs as JSON has them."""
    return {
        "by": by,
        "since": since,
        "groups": [cost.plain() for cost in found.groups],
        "total": found.total.plain(),
        "runs": list(found.runs),
        "unreadable": list(found.unreadable),
    }


def show_costs(found: Costs, by: str, names: Mapping[str, str]) -> None:
    """Print a table of costs; ``names`` has what each run is called, or its document."""
    columns = [by, "jobs", "failed", "core hours", "of failed", "CPU hours", "busy", "memory", "read", "written"]
    rows = [list(_row(cost)) for cost in (*found.groups[:_MOST], found.total)]
    if by == "run":
        columns.append("document")
        for row in rows:
            row.append(names.get(row[0], ""))
    show(columns, rows, right=columns[1:10], cut=(by, "document"), optional=("failed", "of failed"))
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
