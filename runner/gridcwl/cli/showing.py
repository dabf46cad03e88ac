"""What people ask of one run: ``status`` and ``explain``."""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Sequence
from contextlib import closing
from itertools import islice
from typing import Any

from gridcwl.cli.run_list import chosen
from gridcwl.cli.tables import show
from gridcwl.runs.about import about_whole
from gridcwl.runs.record.explain import Answer, answers
from gridcwl.runs.record.history import History
from gridcwl.runs.record.logs import check_step
from gridcwl.runs.units import amount, duration, moment, roughly

_FIRST_SHARDS = 20
_TITLES = {"reused": "of these reused", "not_started": "not started"}
"""Columns of the table of steps that are not called as in JSON."""


def status(given: argparse.Namespace) -> int:
    """State of a run."""
    folder = chosen(given.state_dir, given.run)
    with closing(History(folder.journal)) as history:
        about = about_whole(folder, history)
    if given.json:
        print(json.dumps(about, indent=2))
        return 0
    print_about(about)
    return 0


def print_about(about: dict[str, Any], server: str = "") -> None:
    """A run for people; ``server`` goes into the commands that it names."""
    _print_head(about)
    _print_steps(about)
    _print_running(about)
    for group in about["failure_groups"]:
        _print_group(group)
    if (more := about["failed"] - sum(group["count"] for group in about["failure_groups"])) > 0:
        print(f"\n... and {more} more failures")
    run, state = about["run"], about["state"]
    hints = []
    if about["failures"]:
        hints.append(("Logs", f"gridcwl logs {server}{run}"))
    if state == "detached":
        hints.append(("To resume", f"gridcwl attach {server}{run}"))
    if state in ("failed", "killed", "cancelled"):
        hints.append(("To resume", f"gridcwl resume {server}{run}"))
    if state == "running":
        hints.append(("Output of running jobs", f"gridcwl logs --follow {server}{run}"))
    if hints:
        print()
    for what, command in hints:
        print(f"{what}: {command}")


def _print_head(about: dict[str, Any]) -> None:
    name = f"  ({about['name']})" if about["name"] else ""
    print(f"run       {about['run']}{name}")
    print(f"document  {about['document']}")
    print(f"state     {about['state']}" + (f": {about['message']}" if about["message"] else ""))
    if about["started"] is not None:
        age = roughly(time.time() - about["started"])
        lasted = "for" if about["state"] == "running" else "took"
        print(f"started   {moment(about['started'])} ({age} ago), {lasted} {duration(about['seconds'])}")
    if (resumed := len(about["sessions"]) - 1) > 0:
        print(f"resumed   {resumed} time{'s' if resumed > 1 else ''}")
    print(f"disk      {amount(about['disk_bytes'])}")


def _print_steps(about: dict[str, Any]) -> None:
    if not about["steps"]:
        return
    print()
    numbers = ("waiting", "running", "done", "reused", "failed", "stopped", "skipped", "not_started")
    columns = ("step", *(_TITLES.get(name, name) for name in numbers), "total", "attempts")
    rows = [
        [step["step"], *(step[name] for name in numbers), _total(step), step["attempts"]] for step in about["steps"]
    ]
    show(columns, rows, right=columns[1:], optional=(*columns[1:3], columns[4], *columns[6:9]))


def _total(step: dict[str, Any]) -> str:
    return "not run" if step["blocked"] else "?" if step["total"] is None else str(step["total"])


def _print_running(about: dict[str, Any]) -> None:
    if not about["running"]:
        return
    print()
    now = time.time()
    rows = [
        (job["name"], job["where"], roughly(now - job["since"]), job["attempt"], job["detail"])
        for job in about["running"]
    ]
    show(("running", "where", "for", "attempt", "detail"), rows, right=("for", "attempt"), optional=("detail",))
    running = sum(step["running"] for step in about["steps"])
    if running > len(rows):
        print(f"... and {running - len(rows)} more")


def _print_group(group: dict[str, Any]) -> None:
    shards = group["shards"]
    print()
    if group["count"] == 1:
        print(f"{shards[0]['name']} failed: {group['reason']}")
        lines = [("inputs", _inputs(shards[0]))]
    else:
        print(f"{group['step']}: {group['count']} jobs failed alike: {group['reason']}")
        lines = [(shard["name"], _inputs(shard)) for shard in shards]
    width = max(len(head) for head, _ in [*lines, ("stderr", "")])
    for head, text in lines:
        if text or group["count"] > 1:
            print(f"  {head.ljust(width)}  {text}".rstrip())
    if group["count"] > len(shards):
        print(f"  ... and {group['count'] - len(shards)} more")
    if group["last_line"]:
        print(f"  {'stderr'.ljust(width)}  {group['last_line']}")


def _inputs(shard: dict[str, Any]) -> str:
    return ", ".join(f"{name}={value}" for name, value in shard["inputs"].items())


def explain(given: argparse.Namespace) -> int:
    """Why jobs ran, or where their results came from."""
    folder = chosen(given.state_dir, given.run)
    with closing(History(folder.journal)) as history:
        found = answers(history, folder, given.step, given.state_dir)
        first = list(islice(found, None if given.all or given.json else _FIRST_SHARDS + 1))
        if not first:
            check_step(history, given.step)
    print_answers(first, given)
    return 0


def print_answers(answers: Sequence[Answer], given: argparse.Namespace) -> None:
    """Explanations, as the options ask for them."""
    if given.json:
        print(json.dumps([answer.plain() for answer in answers], indent=2))
        return
    for answer in answers if given.all else answers[:_FIRST_SHARDS]:
        print(f"{answer.name}: {answer.message}")
        for name, now, before in answer.differences:
            print(f"    {name}: {_cut(before)} -> {_cut(now)}")
    if not given.all and len(answers) > _FIRST_SHARDS:
        print("... and more: --all shows them")


def _cut(value: str | None) -> str:
    if value is None:
        return "(not there)"
    return value if len(value) <= 200 else value[:200] + " ..."
