"""The latest runs of the catalogue's workflows, and what they have cost, for whoever may see them."""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Mapping
from dataclasses import dataclass

from gridcwl.runs.usage import Cost, costs
from gridcwl.service.db import StoredRun, Viewer
from gridcwl.service.states import ACTIVE, State
from gridcwl.service.web import Service

TAG = "workflow"
"""Of runs: the name of their workflow in the catalogue."""
_LATEST = 3
_COUNTED = 5
"""Runs of a workflow of which the cost is shown."""
_LOOKED_AT = 200
_KEPT = 2000
_known: OrderedDict[tuple[str, str, float], Cost] = OrderedDict()
"""What runs that have ended have cost, by folder, journal and end."""
_lock = threading.Lock()


@dataclass(frozen=True, slots=True)
class RecentRuns:
    """Runs of one workflow."""

    latest: tuple[StoredRun, ...] = ()
    counted: int = 0
    """Runs that have ended and of which the cost is known."""
    complete: int = 0
    cost: Cost | None = None
    """Of all that are counted together."""
    elapsed_s: float = 0.0
    """From the start to the end of each, added up."""


def recent_runs(service: Service, viewer: Viewer) -> Mapping[str, RecentRuns]:
    """By the names of workflows; of runs that the viewer may see. Reads journals, each of them once."""
    found: dict[str, list[StoredRun]] = {}
    for run in service.db.page(viewer, _LOOKED_AT, search=TAG):
        name = run.tags.get(TAG, "")
        if name and service.catalogue.is_of(name, run.document):  # anybody may write such a tag
            found.setdefault(name, []).append(run)
    return {name: _recent(service, runs) for name, runs in found.items()}


def _recent(service: Service, runs: list[StoredRun]) -> RecentRuns:
    ended = [run for run in runs if run.state not in ACTIVE and run.started and run.ended][:_COUNTED]
    total, counted, complete, elapsed_s = Cost("total"), 0, 0, 0.0
    for run in ended:
        cost = _cost(service, run)
        if cost is None:
            continue
        total.merge(cost)
        counted += 1
        complete += run.state is State.COMPLETE
        elapsed_s += (run.ended or 0.0) - (run.started or 0.0)
    return RecentRuns(tuple(runs[:_LATEST]), counted, complete, total if counted else None, elapsed_s)


def _cost(service: Service, run: StoredRun) -> Cost | None:
    """What a run that has ended has cost; None if its journal is not here, or cannot be read."""
    key = (str(service.folder.path), run.engine, run.ended or 0.0)
    with _lock:
        if key in _known:
            return _known[key]
    record = service.folder.record(run.engine)
    if not record.journal.is_file():
        return None
    counted = costs(service.folder.state, "run", runs=[record])
    if counted.unreadable:
        return None
    with _lock:
        _known[key] = counted.total
        while len(_known) > _KEPT:
            _known.popitem(last=False)
    return counted.total
