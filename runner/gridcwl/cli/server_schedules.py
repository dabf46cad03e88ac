"""``gridcwl schedule ... --server URL``: schedules that a service drives."""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path
from typing import Any
from urllib.parse import quote

from gridcwl.cli.schedule import print_list, print_one, trigger_of
from gridcwl.cli.terminal import escaped
from gridcwl.errors import UsageError
from gridcwl.remote.connection import NATIVE, Connection, form_of

PATH = f"{NATIVE}/schedules"


def _add(given: argparse.Namespace) -> int:
    from gridcwl.schedules.views import next_of

    if not given.words:
        raise UsageError("schedule: there is no document", remedy="Write it behind --: -- [OPTIONS] DOCUMENT [INPUTS]")
    trigger = trigger_of(given, time.time())
    about = {
        "name": given.name, "cron": trigger.cron, "timezone": trigger.timezone, "every_s": trigger.every_s,
        "arrival": trigger.query, "group_count": trigger.group_count, "group_s": trigger.group_s,
        "existing": trigger.existing, "overlap": given.overlap, "catch_up": given.catch_up,
        "deadline_s": given.deadline, "jitter_s": given.jitter, "pause_after": given.pause_after, "keep": given.keep,
        "replace": given.replace,
    }  # fmt: skip
    connection = Connection(given.server)
    added = posted(connection, PATH, "schedule", about, given.words)
    with connection.reading():
        print(f"gridcwl: {'changed' if added['changed'] else 'added'} {added['name']}", file=sys.stderr)
        print(f"  next  {next_of(added)}", file=sys.stderr)
    return 0


def posted(connection: Connection, path: str, field: str, about: Any, words: list[str]) -> Any:
    """Send a document with its input object, which may have templates, and what is to be done with it.

    Args:
        connection: to the service.
        path: of the service.
        field: the name of the field that holds ``about``.
        about: plain values.
        words: a command line of gridcwl.

    Raises:
        GridCWLError: the document is wrong, or the service refuses it.
    """
    from gridcwl.cli.options import parse
    from gridcwl.remote.submission import prepared

    options = parse(["--server", connection.url, *words])
    fields, uploads = prepared(options, Path.cwd(), None, check=False)
    with ExitStack() as stack:
        form = list(form_of({**fields, field: json.dumps(about)}, uploads.files))
        for _, (_, content, *_) in form:
            if hasattr(content, "close"):
                stack.callback(content.close)
        return connection.post(path, files=form)


def _list(given: argparse.Namespace) -> int:
    connection = Connection(given.server)
    found = connection.get(PATH)["schedules"]
    with connection.reading():
        print_list(found, as_json=given.json)
    return 0


def _show(given: argparse.Namespace) -> int:
    connection = Connection(given.server)
    about = connection.get(f"{PATH}/{quote(given.name, safe='')}")
    with connection.reading():
        print_one(about, as_json=given.json)
    return 0


def _post(action: str) -> Callable[[argparse.Namespace], int]:
    def act(given: argparse.Namespace) -> int:
        answer = Connection(given.server).post(f"{PATH}/{quote(given.name, safe='')}/{action}")
        if action == "run-now":
            print(escaped(str(answer["run"])))
        return 0

    return act


ACTIONS: dict[str, Callable[[argparse.Namespace], int]] = {
    "add": _add,
    "list": _list,
    "show": _show,
    **{action: _post(action) for action in ("pause", "resume", "run-now", "rm")},
}
"""By the words of the command line."""
