"""The commands that ask DIRAC: ``gridcwl sites``, and what ``logs`` says of jobs that are still out there."""

from __future__ import annotations

import argparse
import json
from typing import TYPE_CHECKING, Any

from gridcwl.cli.tables import show
from gridcwl.errors import BackendError

if TYPE_CHECKING:
    from collections.abc import Iterable

    from gridcwl.backends.dirac.server import Server
    from gridcwl.backends.dirac.sites import Offer, Queue
    from gridcwl.runs.folder import RunFolder
    from gridcwl.runs.history import JobRow
    from gridcwl.runs.places import ServerName


def sites(given: argparse.Namespace) -> int:
    """List what each site offers."""
    from gridcwl.config import from_environment
    from gridcwl.runs.places import server

    configured = from_environment().backend
    name: ServerName = given.backend or ("diracx" if configured == "diracx" else "dirac")
    with server(name) as dirac:
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


def _row(offer: Offer, queue: Queue | None) -> list[str]:
    about = [queue.name, queue.processors, queue.ram_mib, queue.cpu_time_s] if queue else [""] * 4
    tags = ", ".join(queue.tags) if queue else ""
    known = ["?" if value is None else str(value) for value in about]
    return [offer.site, offer.status, *known, tags, ", ".join(offer.storage)]


def _plain(offer: Offer) -> dict[str, Any]:
    import msgspec

    plain: dict[str, Any] = msgspec.to_builtins(offer)
    return plain


def print_pending(name: ServerName | None, folder: RunFolder, rows: Iterable[JobRow]) -> int:
    """What DIRAC says of jobs that have not ended; returns of how many it says something."""
    from gridcwl.runs.places import server

    pending = list(rows)
    if not pending or name is None or name == "dirac-local":
        return 0
    with server(name) as dirac:
        return _print_pending(dirac, folder, pending)


def _print_pending(server: Server, folder: RunFolder, pending: Iterable[JobRow]) -> int:
    from gridcwl.backends.dirac.leftovers import where
    from gridcwl.backends.dirac.results import without_report

    places = where(server, folder.run)
    said = 0
    for row in pending:
        found = places.get(row.job)  # type: ignore[call-overload]
        if found is None:
            continue
        said += 1
        print(f"==> {row.name}: {found.place}")
        for name, text in sorted(server.said(found.place.number).items()):
            if name in ("StandardOutput", "Pilot_Reference", "LocalBatchID", "HostName"):
                print(f"--- {name}\n{without_report(text)}")
        print(flush=True)
    return said
