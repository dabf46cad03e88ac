"""``gridcwl usage``, ``data`` and ``sites`` with ``--server URL``: what a service has recorded, shown as here."""

from __future__ import annotations

import argparse
import json
from collections.abc import Callable
from typing import Any

from msgspec import convert

from gridcwl.backends.base import SiteOffer
from gridcwl.cli.data import print_data
from gridcwl.cli.server_runs import chosen_run
from gridcwl.cli.tables import show
from gridcwl.cli.usage import plain_costs, show_costs
from gridcwl.errors import UsageError
from gridcwl.model.chunks import chunks
from gridcwl.remote.connection import NATIVE, Connection
from gridcwl.runs.record.data import LocalFile
from gridcwl.runs.record.listing import point
from gridcwl.runs.usage import Cost, Costs, in_order
from gridcwl.stores.reports import RunReport

_NAMED = 100
"""Runs that are named in one request."""


def _usage(connection: Connection, given: argparse.Namespace) -> int:
    _refuse(given, "backend")
    since = point(given.since) if given.since else None
    found, names = _added(connection, given, since)
    if given.json:
        print(json.dumps(plain_costs(found, given.by, since), indent=2))
    else:
        show_costs(found, given.by, names if given.by == "run" else {})
    return 0


def _added(connection: Connection, given: argparse.Namespace, since: float | None) -> tuple[Costs, dict[str, str]]:
    """The costs of all pages, and what each run is called."""
    groups: dict[str, Cost] = {}
    counted: dict[str, None] = {}
    unreadable: dict[str, None] = {}
    names: dict[str, str] = {}

    def add(**query: Any) -> int:
        page = connection.get(f"{NATIVE}/costs", by=given.by, since=since, **query)
        with connection.reading():
            for cost in convert(page["groups"], list[Cost]):
                groups.setdefault(cost.name, Cost(cost.name)).merge(cost)
            counted.update(dict.fromkeys(convert(page["runs"], list[str])))
            unreadable.update(dict.fromkeys(convert(page["unreadable"], list[str])))
            names.update(convert(page["labels"], dict[str, str]))
            return convert(page["next"], int)

    if given.runs:
        named = dict.fromkeys(chosen_run(connection, word) for word in given.runs)
        for some in chunks(list(named), _NAMED):
            add(run=list(some))
    else:
        before = add()
        while before:
            before = add(before=before)
    return in_order(groups.values(), counted, unreadable), names


def _data(connection: Connection, given: argparse.Namespace) -> int:
    found = connection.get(f"{NATIVE}/runs/{chosen_run(connection, given.run)}/data")
    with connection.reading():
        files = convert([[one[name] for name in LocalFile._fields] for one in found["files"]], list[LocalFile])
        about = convert(found["stored"], RunReport | None)
        print_data(files, about, given, "at the service")
    return 0


def _sites(connection: Connection, given: argparse.Namespace) -> int:
    _refuse(given, "backend")
    found = connection.get(f"{NATIVE}/sites")
    with connection.reading():
        offers = convert(found["sites"], list[SiteOffer])
        if given.json:
            print(json.dumps(found["sites"], indent=2))
            return 0
        columns = ("site", "status", "queue", "cores", "memory MiB", "GPUs", "CPU time s", "tags", "storage")
        show(columns, [row for offer in offers for row in _rows(offer)], right=columns[3:7])
    return 0


def _rows(offer: SiteOffer) -> list[list[str]]:
    """A site's queues, or the site alone."""
    head, storage = [offer.site, offer.status], ", ".join(offer.storage)
    if not offer.queues:
        return [[*head, *[""] * 6, storage]]
    made = []
    for queue in offer.queues:
        about = (queue.cores, queue.ram_mib, queue.gpus, queue.cpu_time_s)
        known = ["?" if value is None else f"{value:g}" for value in about]
        made.append([*head, queue.name, *known, ", ".join(queue.tags), storage])
    return made


def _refuse(given: argparse.Namespace, name: str) -> None:
    if getattr(given, name):
        raise UsageError(f"--{name} has no effect with --server: the service decides it", remedy="Leave it out.")


COMMANDS: dict[str, Callable[[Connection, argparse.Namespace], int]] = {
    "usage": _usage,
    "data": _data,
    "sites": _sites,
}
"""Commands that take ``--server``."""
