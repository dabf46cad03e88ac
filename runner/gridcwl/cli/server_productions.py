"""``gridcwl production ... --server URL``: productions that a service runs."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any
from urllib.parse import quote

from gridcwl.cli.production import print_list, print_one
from gridcwl.cli.server_schedules import posted
from gridcwl.cli.terminal import escaped
from gridcwl.errors import ConfigError, UsageError
from gridcwl.productions.model import seeds_of
from gridcwl.productions.views import sentence
from gridcwl.remote.connection import NATIVE, Connection

PATH = f"{NATIVE}/productions"


def _create(given: argparse.Namespace) -> int:
    if not given.words:
        raise UsageError(
            "production: there is no document", remedy="Write it behind --: -- [OPTIONS] DOCUMENT [INPUTS]"
        )
    if bool(given.seeds) == bool(given.over):
        raise UsageError("production: either --seeds or --over must be given")
    about: dict[str, Any] = {
        "name": given.name, "each": given.each, "portion": given.portion, "at_once": given.at_once,
        "resubmit": given.resubmit, "only_create": given.only_create,
    }  # fmt: skip
    if given.seeds:
        name, seeds = seeds_of(given.seeds)
        about |= {"input": name, "seeds": [seeds.start, seeds.stop - 1]}
    else:
        name, _, what = given.over.partition("=")
        if not (name and what):
            raise UsageError(f"--over takes INPUT=QUERY or INPUT=FILE, not {given.over!r}")
        about |= {"input": name, **_items(what)}
    answer = posted(Connection(given.server), PATH, "production", about, given.words)
    print(f"gridcwl: created {answer['name']}: {answer['total']} instances", file=sys.stderr)
    print(f"See it: gridcwl production status {answer['name']} --server {given.server}", file=sys.stderr)
    return 0


def _items(what: str) -> dict[str, Any]:
    """The lines of a file of this machine; what is none is a query for the service."""
    path = Path(what)
    if "*" in what or not path.is_file():
        return {"query": what}
    try:
        return {"items": [line for line in path.read_text("utf-8").splitlines() if line.strip()]}
    except (OSError, UnicodeDecodeError):
        raise ConfigError(f"The file {path} cannot be read") from None


def _status(given: argparse.Namespace) -> int:
    connection = Connection(given.server)
    if given.name is None:
        found = connection.get(PATH)["productions"]
        with connection.reading():
            print_list(found, as_json=given.json)
    else:
        about = connection.get(f"{PATH}/{quote(given.name, safe='')}")
        with connection.reading():
            print_one(about, as_json=given.json)
    return 0


def _post(action: str) -> Callable[[argparse.Namespace], int]:
    def act(given: argparse.Namespace) -> int:
        body = {"count": getattr(given, "count", None), "only_create": getattr(given, "only_create", False)}
        connection = Connection(given.server)
        answer = connection.post(f"{PATH}/{quote(given.name, safe='')}/{action}", json=body)
        with connection.reading():
            print(f"gridcwl: {escaped(str(answer['name']))}: {sentence(answer)}", file=sys.stderr)
        return 0

    return act


ACTIONS: dict[str, Callable[[argparse.Namespace], int]] = {
    "create": _create,
    "status": _status,
    **{action: _post(action) for action in ("extend", "retry", "stop")},
}
"""By the words of the command line."""
