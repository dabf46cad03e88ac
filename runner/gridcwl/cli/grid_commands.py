"""Commands that query a batch system: ``gridcwl sites``, and ``logs`` of active jobs."""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from gridcwl.cli.tables import show
from gridcwl.errors import BackendError

if TYPE_CHECKING:
    from gridcwl.backends.base import QueueOffer, SiteOffer
    from gridcwl.backends.views import BatchJob, BatchJobs
    from gridcwl.model import JobId
    from gridcwl.runs.options import GridOptions
    from gridcwl.runs.record.folder import RunFolder
    from gridcwl.runs.record.journal_rows import JobRow

_ASK_EVERY_S = 5.0


def sites(given: argparse.Namespace) -> int:
    """List what each site offers."""
    from gridcwl import plugins

    config = plugins.configuration()
    name = given.backend or (config.backend if config.backend in plugins.backends_with("sites") else "dirac")
    plugin = plugins.backend(name)
    offers: list[SiteOffer] = list(plugins.call(plugin, "sites", plugins.configured(plugin, config)))
    if given.json:
        print(json.dumps([_plain(offer) for offer in offers], indent=2))
        return 0
    if not offers:
        raise BackendError(
            f"{plugin.title or name} names no sites",
            remedy="Ask its administrators which sites your group may use.",
        )
    columns = ("site", "status", "queue", "processors", "memory MiB", "CPU time s", "tags", "storage")
    rows = [_row(offer, queue) for offer in offers for queue in (offer.queues or (None,))]
    show(columns, rows, right=("processors", "memory MiB", "CPU time s"))
    return 0


def _row(offer: SiteOffer, queue: QueueOffer | None) -> list[str]:
    about = [queue.name, queue.cores, queue.ram_mib, queue.cpu_time_s] if queue else [""] * 4
    tags = ", ".join(queue.tags) if queue else ""
    known = ["?" if value is None else f"{value:g}" if isinstance(value, float) else str(value) for value in about]
    return [offer.site, offer.status, *known, tags, ", ".join(offer.storage)]


def _plain(offer: SiteOffer) -> dict[str, Any]:
    queues = [
        {
            "name": queue.name,
            "processors": queue.cores,
            "ram_mib": queue.ram_mib,
            **({"gpus": queue.gpus} if queue.gpus is not None else {}),
            "cpu_time_s": queue.cpu_time_s,
            "tags": queue.tags,
            "required_tags": queue.required_tags,
            "platform": queue.platform or None,
        }
        for queue in offer.queues
    ]
    return {"site": offer.site, "queues": queues, "status": offer.status, "storage": offer.storage}


@dataclass(slots=True)
class Pending:
    """What a batch system knows of jobs that have not ended; nothing where jobs run without one."""

    batch_jobs: BatchJobs | None = None
    title: str = ""
    """Of the batch system."""
    _places: Mapping[JobId, BatchJob] | None = None
    _asked: float = 0.0
    _texts: dict[str, tuple[float, list[tuple[str, str]]]] = field(default_factory=dict)

    def of(self, row: JobRow) -> tuple[str, list[tuple[str, str]]]:
        """Where a job is, and what it has written: names and texts. The batch system is asked now and then."""
        from gridcwl.model import JobId

        found = self._known().get(JobId(row.job)) if row.job else None
        if found is None or self.batch_jobs is None:
            return "", []
        now = time.monotonic()
        asked, texts = self._texts.get(found.id, (0.0, []))
        if not asked or now - asked > _ASK_EVERY_S:
            texts = list(self.batch_jobs.texts(found.id).items())
            self._texts[found.id] = now, texts
        return found.state, texts

    @property
    def idle(self) -> bool:
        """Whether the batch system knows of no job of the run that waits or runs."""
        return not any(found.is_active for found in self._known().values())

    def _known(self) -> Mapping[JobId, BatchJob]:
        if self.batch_jobs is None:
            return {}
        now = time.monotonic()
        if self._places is None or now - self._asked > _ASK_EVERY_S:
            self._places, self._asked = self.batch_jobs.jobs(), now
        return self._places


@contextmanager
def open_pending(grid: GridOptions, folder: RunFolder) -> Iterator[Pending]:
    """Queries the batch system for a run's jobs, if that is where they are."""
    if not grid.is_elsewhere or "open_batch_jobs" not in grid.plugin.hooks:
        yield Pending()
        return
    from gridcwl import plugins

    with plugins.call(grid.plugin, "open_batch_jobs", grid.settings, folder.run) as batch_jobs:
        yield Pending(batch_jobs, grid.plugin.title or grid.backend)
