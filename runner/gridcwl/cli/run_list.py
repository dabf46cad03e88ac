"""The commands for many runs: ``gridcwl runs`` and ``gridcwl rm``; and which run a word on the command line means."""

from __future__ import annotations

import argparse
import json
import logging
import sys
import time
from collections.abc import Mapping, Sequence
from itertools import islice
from pathlib import Path
from typing import Any

from gridcwl import plugins
from gridcwl.cli.tables import show
from gridcwl.errors import ConfigError, StoreError
from gridcwl.runs.record.cleanup import remove_unused
from gridcwl.runs.record.folder import RunFolder, find
from gridcwl.runs.record.listing import STATES, Filter, about_folder, age, disk_use, listed_runs, point, working_of
from gridcwl.runs.units import amount, duration, roughly
from gridcwl.worker.removing import remove_tree

log = logging.getLogger("gridcwl")

_ON_A_TERMINAL = 20
_ACTIVE = ("running", "detached")


def chosen(state_dir: Path, word: str) -> RunFolder:
    """The run that the user means. Says on stderr which it is, where that is not plain.

    Raises:
        ConfigError: there is none, or more than one.
    """
    found = find(state_dir, word)
    if found.why:
        print(f"gridcwl: {word} is {found.folder.run}: {found.why}", file=sys.stderr)
    return found.folder


def add_filters(parser: argparse.ArgumentParser) -> None:
    """Options that say which runs are wanted."""
    parser.add_argument("--status", action="append", choices=STATES, help="only runs in this state; may be repeated")
    parser.add_argument("--name", metavar="PATTERN", help="only runs with this name; * and ? are wildcards")
    parser.add_argument("--document", metavar="PATTERN", help="only runs of this document; * and ? are wildcards")


def runs(given: argparse.Namespace) -> int:
    """List the runs that are wanted."""
    limit = shown_runs(given)
    found = listed_runs(given.state_dir, wanted_runs(given))
    about = [_with_size(one, given.state_dir) for one in islice(found, limit or None)]
    if given.json:
        print(json.dumps(about, indent=2))
        return 0
    more = sum(1 for _ in found) if limit else 0
    show_runs(about)
    if more:
        print(f"... and {more} more: --limit 0 shows all")
    return 0


def wanted_runs(given: argparse.Namespace) -> Filter:
    """Which runs the options of ``runs`` or ``rm`` choose."""
    since, older = getattr(given, "since", None), getattr(given, "older_than", None)
    return Filter(
        states=tuple(given.status or ()),
        since=point(since) if since else None,
        ended_before=time.time() - age(older) if older is not None else None,
        name=given.name or "",
        document=given.document or "",
    )


def shown_runs(given: argparse.Namespace) -> int:
    """How many runs are listed; 0 for all."""
    if given.limit is None and sys.stdout.isatty() and not given.json:
        return _ON_A_TERMINAL
    return int(given.limit or 0)


def show_runs(about: Sequence[Mapping[str, Any]]) -> None:
    """A table of runs, each as ``--json`` has it."""
    now = time.time()
    show(
        ("run", "name", "state", "age", "took", "done", "disk", "document"),
        [
            (
                one["run"],
                one["name"],
                one["state"],
                roughly(now - one["started"]) if one["started"] is not None else "",
                duration(one["seconds"]),
                _of(one["done"], one["shards"]),
                amount(one["disk_bytes"]),
                one["document"] or "",
            )
            for one in about
        ],
        right=("age", "took", "done", "disk"),
        cut=("name", "document"),
        optional=("name",),
    )


def _with_size(about: dict[str, Any], state_dir: Path) -> dict[str, Any]:
    folder = RunFolder(state_dir / "runs" / about["run"])
    return about | {"disk_bytes": disk_use(folder, working_of(folder))}


def _of(done: int, shards: int) -> str:
    return str(shards) if done == shards else f"{done} of {shards}"


def add_removal(parser: argparse.ArgumentParser) -> None:
    """The options of ``gridcwl rm``."""
    parser.add_argument(
        "--data",
        action="store_true",
        help=f"also delete intermediate files in {plugins.stores_with('release')}; outputs are kept",
    )
    parser.add_argument(
        "--older-than", metavar="AGE", help="runs that ended at least this long ago: 30d, 12h; a plain number is days"
    )
    add_filters(parser)
    parser.add_argument("--dry-run", action="store_true", help="print what would be removed, and remove nothing")
    parser.add_argument("--yes", "-y", action="store_true", help="do not ask; needed where there is no terminal")


def remove(given: argparse.Namespace) -> int:
    """Remove runs: those that are named, or those that the options choose. Active ones stay."""
    check_removal(given)
    named = [chosen(given.state_dir, word) for word in given.runs]
    for folder in named:
        _refuse_active(folder)
    folders = list(dict.fromkeys(named)) or _filtered(given)
    if not folders:
        print("gridcwl: no run matches", file=sys.stderr)
        return 0
    about = (
        [_with_size(about_folder(folder), given.state_dir) for folder in folders]
        if given.dry_run or not (named or given.yes)
        else []
    )
    if (code := agreed_to_remove(about, given, asks=not named)) is not None:
        return code
    for folder in folders:
        _remove_one(folder, data=given.data)
    return 0


def check_removal(given: argparse.Namespace) -> None:
    """See that ``rm`` was given the names of runs, or options that choose some.

    Raises:
        ConfigError: neither, or both.
    """
    filtered = given.older_than is not None or given.status or given.name or given.document
    if not given.runs and not filtered:
        raise ConfigError(
            "rm needs the runs to remove", remedy="Name them, or choose them: --older-than 30d, --status failed."
        )
    if given.runs and filtered:
        raise ConfigError("rm takes the names of runs or options that choose them", remedy="Omit one of them.")


def agreed_to_remove(about: Sequence[Mapping[str, Any]], given: argparse.Namespace, *, asks: bool) -> int | None:
    """List runs that are to be removed, and ask, where that is wanted; the exit code if they stay, else None.

    Raises:
        ConfigError: there is nobody to ask.
    """
    if not given.dry_run and (given.yes or not asks):
        return None
    freed = _print_removal(about)
    if given.dry_run:
        print(f"{len(about)} run(s), {amount(freed)}: nothing was removed", file=sys.stderr)
        return 0
    if not sys.stdin.isatty():
        raise ConfigError(
            "rm cannot ask whether to remove these runs: standard input is no terminal",
            remedy="Give --yes to remove them, or --dry-run to list them only.",
        )
    if not _agreed(f"Remove {len(about)} run(s), {amount(freed)}? [y/N] "):
        print("gridcwl: nothing was removed", file=sys.stderr)
        return 1
    return None


def _refuse_active(folder: RunFolder) -> None:
    state = about_folder(folder)["state"]
    if state == "running":
        raise ConfigError(
            f"The run {folder.run} is still active", remedy=f"Wait for it, or stop it: gridcwl cancel {folder.run}."
        )
    if state == "detached":
        raise ConfigError(
            f"The run {folder.run} is detached, and its jobs are still active",
            remedy=f"Stop them: gridcwl cancel {folder.run}.",
        )


def _filtered(given: argparse.Namespace) -> list[RunFolder]:
    wanted = wanted_runs(given)
    return [
        RunFolder(given.state_dir / "runs" / about["run"])
        for about in listed_runs(given.state_dir, wanted)
        if about["state"] not in _ACTIVE
    ]


def _print_removal(about: Sequence[Mapping[str, Any]]) -> int:
    now = time.time()
    show(
        ("run", "name", "state", "ended", "disk", "document"),
        [
            (one["run"], one["name"], one["state"], f"{roughly(now - (one['ended'] or now))} ago",
             amount(one["disk_bytes"]), one["document"])
            for one in about
        ],
        right=("ended", "disk"),
        cut=("name", "document"),
        optional=("name",),
    )  # fmt: skip
    return sum(one["disk_bytes"] for one in about)


def _agreed(question: str) -> bool:
    try:
        return input(question).strip().lower() in ("y", "yes")
    except EOFError:
        return False


def _remove_one(folder: RunFolder, *, data: bool) -> None:
    from gridcwl.runs.record.run_record import stop_orphans

    with folder.held():  # nobody works on it meanwhile
        try:
            stop_orphans(folder)
        except (StoreError, ConfigError) as error:  # its journal cannot be read, or there never was one
            if data:
                raise
            level = logging.WARNING if isinstance(error, ConfigError) else logging.DEBUG
            log.log(level, "Jobs of %s that may still be active were not stopped: %s", folder.run, error.message)
        if data:
            from gridcwl.cli.data import let_go

            let_go(folder)
        if (working := working_of(folder)) is not None:
            remove_tree(working)
        elif folder.working is not None:
            remove_unused(folder.working)  # the client was killed before it had marked it
        folder.remove()
    print(f"{folder.run} is removed", file=sys.stderr)
