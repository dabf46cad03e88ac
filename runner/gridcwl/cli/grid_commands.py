"""Commands that query DIRAC: ``gridcwl sites``, and ``logs`` of active jobs."""

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
    from gridcwl.backends.dirac.server import FoundJob, Server
    from gridcwl.backends.dirac.sites import DiracSite, Queue
    from gridcwl.model import JobId, RunId
    from gridcwl.runs.options import GridOptions
    from gridcwl.runs.record.folder import RunFolder
    from gridcwl.runs.record.journal_rows import JobRow

_ASK_EVERY_S = 5.0


def sites(given: argparse.Namespace) -> int:
    """List what each site offers."""
    from gridcwl import plugins
    from gridcwl.plugins import configuration

    configured = configuration().backend
    name = given.backend or ("diracx" if configured == "diracx" else "dirac")
    with plugins.loaded(plugins.backend(name)).open_server(name) as dirac:
        offers = dirac.offers()
    if given.json:
        print(json.dumps([_plain(offer) for offer in offers], indent=2))
        return 0
    if not offers:
        raise BackendError(
            f"{'DiracX' if name == 'diracx' else 'DIRAC'} names no sites",
            remedy="Ask its administrators which sites your group may use.",
        )
    columns = ("site", "status", "queue", "processors", "memory MiB", "CPU time s", "tags", "storage")
    rows = [_row(offer, queue) for offer in offers for queue in (offer.queues or (None,))]
    show(columns, rows, right=("processors", "memory MiB", "CPU time s"))
    return 0


def _row(offer: DiracSite, queue: Queue | None) -> list[str]:
    about = [queue.name, queue.processors, queue.ram_mib, queue.cpu_time_s] if queue else [""] * 4
    tags = ", ".join(queue.tags) if queue else ""
    known = ["?" if value is None else str(value) for value in about]
    return [offer.site, offer.status, *known, tags, ", ".join(offer.storage)]


def _plain(offer: DiracSite) -> dict[str, Any]:
    import msgspec

    plain: dict[str, Any] = msgspec.to_builtins(offer)
    return plain


@dataclass(slots=True)
class Pending:
    """What DIRAC knows of jobs that have not ended; nothing where jobs run without it."""

    server: Server | None = None
    run: RunId | None = None
    _places: Mapping[JobId, FoundJob] | None = None
    _asked: float = 0.0
    _texts: dict[int, tuple[float, list[tuple[str, str]]]] = field(default_factory=dict)

    def of(self, row: JobRow) -> tuple[str, list[tuple[str, str]]]:
        """Where a job is, and what it has written: names and texts. DIRAC is asked now and then."""
        from gridcwl.backends.dirac.results import without_report
        from gridcwl.model import JobId

        found = self._known().get(JobId(row.job)) if row.job else None
        if found is None or self.server is None:
            return "", []
        now = time.monotonic()
        number = found.place.number
        asked, texts = self._texts.get(number, (0.0, []))
        if not asked or now - asked > _ASK_EVERY_S:
            texts = [
                (name, without_report(text))
                for name, text in sorted(self.server.parameters(number).items())
                if name in ("StandardOutput", "Pilot_Reference", "LocalBatchID", "HostName")
            ]
            self._texts[number] = now, texts
        return str(found.place), texts

    @property
    def idle(self) -> bool:
        """Whether DIRAC knows of no job of the run that waits or runs."""
        from gridcwl.backends.dirac.reconcile import alive

        return not any(map(alive, self._known().values()))

    def _known(self) -> Mapping[JobId, FoundJob]:
        from gridcwl.backends.dirac.reconcile import where

        if self.server is None or self.run is None:
            return {}
        now = time.monotonic()
        if self._places is None or now - self._asked > _ASK_EVERY_S:
            self._places, self._asked = where(self.server, self.run), now
        return self._places


@contextmanager
def open_pending(grid: GridOptions, folder: RunFolder) -> Iterator[Pending]:
    """Queries DIRAC for a run's jobs, if that is where they are."""
    if not grid.is_elsewhere or grid.plugin.table != "dirac":
        yield Pending()
        return
    from gridcwl import plugins

    with plugins.loaded(grid.plugin).open_server(grid.backend) as dirac:
        yield Pending(dirac, folder.run)
