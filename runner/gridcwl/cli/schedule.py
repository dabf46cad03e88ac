"""``gridcwl schedule``: documents that run at certain times, at intervals, or when data arrive."""

from __future__ import annotations

import argparse
import asyncio
import json
import logging
import sys
import time
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from gridcwl.cli.parsing import Act, Actions, Parser, acted, here_or_at_server, positive, state_dir_of
from gridcwl.errors import ConfigError, UsageError
from gridcwl.runs.units import seconds_of

if TYPE_CHECKING:
    from gridcwl.schedules.model import Trigger
    from gridcwl.schedules.store import ScheduleStore

_EPILOG = """\
  gridcwl schedule add nightly --cron '0 2 * * *' --timezone Europe/Berlin \\
      -- --outdir 'checks/{tick:%Y-%m-%d}' check.cwl inputs.yml
  gridcwl schedule add new-runs --arrival 'rucio://cta/*?type=dataset&datatype=dl0' \\
      --group-count 10 -- --backend dirac --store rucio workflow.cwl inputs.yml
  gridcwl schedule run           # in a terminal, until Ctrl-C
  gridcwl schedule run --once    # from a systemd timer: what is due, then exit

In the words behind -- and in the input object, {tick}, {tick:%Y-%m-%d}, {dids},
{schedule} and {run} stand for the values of each run; a value "{dids}" alone
becomes the list of Files.
"""
_SHOWN = 10
_LOOK_S = 30.0
"""The longest wait for the next step: the clock may be set, or another process add something."""


def main(arguments: Sequence[str]) -> int:
    """Do what the first word says; returns the exit code.

    Raises:
        GridCWLError: an option is wrong, or there is no such schedule.
        SystemExit: ``--help``.
    """
    return acted(parser(), arguments)


def parser() -> Parser:
    """The command line of ``gridcwl schedule``."""
    made = Parser(
        prog="gridcwl schedule",
        description="Run documents at certain times, at intervals, or when data arrive.",
        epilog=_EPILOG,
    )
    actions = Actions(made, "schedule")

    def action(name: str, act: Act, text: str, *, named: bool = True) -> Any:
        one = actions(name, here_or_at_server(name, act, _at_server), text, named=named)
        if name != "run":
            one.add_argument("--server", metavar="URL", help="schedules of this gridcwl serve, which drives them")
        return one

    _add_add(action("add", _add, "add a schedule, or change one: -- [OPTIONS] DOCUMENT [INPUTS]"))
    for name, act, text in (("list", _list, "list the schedules"), ("show", _show, "show a schedule and its runs")):
        one = action(name, act, text, named=name == "show")
        one.add_argument("--json", action="store_true", help="print JSON")
    action("pause", _pause, "run nothing more at its times; active runs continue")
    action("resume", _resume, "resume a paused schedule")
    action("run-now", _run_now, "run once in addition, as soon as a driver sees it")
    action("rm", _remove, "remove a schedule; its runs stay")
    run = action("run", _run, "drive the schedules in this terminal", named=False)
    run.add_argument("--once", action="store_true", help="do what is due, wait for these runs, and exit")
    run.add_argument("--quiet", action="store_true", help="print errors only")
    return made


def _at_server() -> Mapping[str, Act]:
    from gridcwl.cli import server_schedules

    return server_schedules.ACTIONS


def _add_add(made: argparse.ArgumentParser) -> None:
    made.add_argument("--cron", metavar="EXPR", default="", help="minute, hour, day, month, weekday: '0 2 * * *'")
    made.add_argument("--timezone", metavar="ZONE", default="", help="of --cron, as Europe/Berlin (default: UTC)")
    made.add_argument("--every", metavar="TIME", type=_seconds, help="interval: 90s, 15m, 6h, 1d")
    made.add_argument("--arrival", metavar="QUERY", default="", help="new data: Rucio query, DID, or pattern of files")
    made.add_argument("--group-count", type=positive, metavar="N", help="with --arrival: N data in each run")
    made.add_argument(
        "--group-time", type=_seconds, metavar="TIME", default=0.0, help="with --arrival: wait up to TIME for more data"
    )
    made.add_argument("--existing", action="store_true", help="with --arrival: treat existing data as new")
    made.add_argument(
        "--overlap", choices=("skip", "queue", "replace"), default="skip", help="if a run is active (default: skip)"
    )
    made.add_argument(
        "--catch-up", choices=("none", "latest", "all"), default="latest", help="missed times (default: latest)"
    )
    made.add_argument("--deadline", type=_seconds, metavar="TIME", help="skip runs that would start later than this")
    made.add_argument(
        "--jitter", type=_seconds, metavar="TIME", default=0.0, help="random delay of starts, at most TIME"
    )
    made.add_argument("--pause-after", type=positive, metavar="N", help="pause after N failures in a row")
    made.add_argument("--keep", type=positive, metavar="N", help="keep records of the latest N runs only")
    made.add_argument("--replace", action="store_true", help="change the schedule of this name")


def _seconds(text: str) -> float:
    seconds = seconds_of(text)
    if not seconds:
        raise argparse.ArgumentTypeError(f"takes a time as 90s, 15m, 6h or 1d, not {text!r}")
    return seconds


def _store(given: argparse.Namespace) -> ScheduleStore:
    from gridcwl.schedules.store import ScheduleStore

    return ScheduleStore(state_dir_of(given) / "schedules" / "schedules.db")


# -- changes -------------------------------------------------------------------------------------------------------


def trigger_of(given: argparse.Namespace, now: float) -> Trigger:
    """When a schedule runs, as the options say.

    Raises:
        GridCWLError: they mean nothing.
    """
    from gridcwl.schedules import times
    from gridcwl.schedules.model import Trigger

    if not (given.cron or given.every or given.arrival):
        raise UsageError("schedule: one of --cron, --every and --arrival must be given")
    if given.cron and given.every:
        raise UsageError("schedule: --cron and --every exclude each other")
    if given.timezone and not given.cron:
        raise UsageError("schedule: --timezone has no effect without --cron")
    if not given.arrival and (given.group_count or given.group_time or given.existing):
        raise UsageError("schedule: --group-count, --group-time and --existing go with --arrival")
    if given.cron and (given.group_count or given.group_time):
        raise UsageError("schedule: with --cron, all that arrived since the last time is one group")
    made = Trigger(
        cron=given.cron,
        timezone=given.timezone or "UTC",
        every_s=given.every,
        start=now,
        query=given.arrival,
        group_count=given.group_count,
        group_s=given.group_time,
        existing=given.existing,
    )
    times.check(made)
    return made


def _add(given: argparse.Namespace) -> int:
    from gridcwl.cli.schedule_runs import options_of
    from gridcwl.model.names import checked_name
    from gridcwl.runs.from_options import evaluation
    from gridcwl.schedules.deciding import upcoming
    from gridcwl.schedules.model import Schedule
    from gridcwl.schedules.store import new_id

    if not given.words:
        raise UsageError("schedule: there is no document", remedy="Write it behind --: -- [OPTIONS] DOCUMENT [INPUTS]")
    now = time.time()
    schedule = Schedule(
        id=new_id(),
        name=checked_name(given.name, "schedule"),
        trigger=trigger_of(given, now),
        words=tuple(given.words),
        cwd=str(Path.cwd()),
        overlap=given.overlap,
        catch_up=given.catch_up,
        deadline_s=given.deadline,
        jitter_s=given.jitter,
        pause_after=given.pause_after,
        keep=given.keep,
        created=now,
    )
    options = options_of(schedule, None)
    from gridcwl.cli.logs import set_up_logging
    from gridcwl.cwl.load import load, locate

    set_up_logging(0)
    load(locate(options.document)[0], evaluation(options))  # a document with mistakes would fail at night
    with _store(given) as store:
        known = given.replace and given.name in [kept.schedule.name for kept in store.all()]
        if known:
            store.replace(schedule, now)
        else:
            store.add(schedule, now)
    print(f"gridcwl: {'changed' if known else 'added'} {schedule.name}", file=sys.stderr)
    for at in upcoming(schedule, now, 3):
        print(f"  next  {at:%a %Y-%m-%d %H:%M:%S %Z}", file=sys.stderr)
    print("Drive the schedules: gridcwl schedule run", file=sys.stderr)
    return 0


def _pause(given: argparse.Namespace) -> int:
    with _store(given) as store:
        store.pause(given.name, "by its user")
    return 0


def _resume(given: argparse.Namespace) -> int:
    with _store(given) as store:
        store.pause(given.name, None)
    return 0


def _run_now(given: argparse.Namespace) -> int:
    from dataclasses import replace

    from gridcwl.cli.schedule_runs import found_now
    from gridcwl.schedules.model import tick_of_time

    with _store(given) as store:
        asked = store.get(given.name).schedule
        arrived = found_now(asked) if asked.trigger.query else []  # a look may take long: in no transaction
    with _store(given) as store, store.transaction():
        kept = store.get(given.name)
        tick = tick_of_time(kept.schedule, time.time())
        if kept.schedule.trigger.query == asked.trigger.query:
            store.arrive(kept, arrived, tick.at)
        dids = tuple(did for did, _ in store.new_data(kept.schedule.id))
        if kept.schedule.trigger.query and not dids:
            raise ConfigError(f"No new data have arrived for {given.name}", remedy="See gridcwl schedule show.")
        (made,) = store.insert(kept.schedule.id, [replace(tick, key=f"now-{tick.at:.6f}", forced=True, dids=dids)])
        store.assign(kept.schedule.id, made)
    print(made.run)
    return 0


def _remove(given: argparse.Namespace) -> int:
    with _store(given) as store:
        store.remove(given.name)
    return 0


# -- views ---------------------------------------------------------------------------------------------------------


def _list(given: argparse.Namespace) -> int:
    from gridcwl.schedules.views import plain

    now = time.time()
    with _store(given) as store:
        found = [plain(kept, store.latest_ticks(kept.schedule.id, 1), now) for kept in store.all()]
    print_list(found, as_json=given.json)
    return 0


def print_list(found: Sequence[dict[str, Any]], *, as_json: bool) -> None:
    """Show schedules."""
    from gridcwl.cli.tables import show
    from gridcwl.schedules.views import next_of

    if as_json:
        print(json.dumps(found, indent=2))
        return
    rows = [(one["name"], one["when"], one["state"], next_of(one), _shown_tick(one["ticks"])) for one in found]
    if rows:
        show(("name", "when", "state", "next", "last"), rows)
    else:
        print("no schedules")


def _show(given: argparse.Namespace) -> int:
    from gridcwl.schedules.views import plain

    with _store(given) as store:
        kept = store.get(given.name)
        waiting = len(store.new_data(kept.schedule.id))
        about = plain(kept, store.latest_ticks(kept.schedule.id, _SHOWN), time.time(), waiting)
    print_one(about, as_json=given.json)
    return 0


def print_one(about: dict[str, Any], *, as_json: bool) -> None:
    """Show a schedule with its latest runs."""
    from gridcwl.cli.tables import show
    from gridcwl.schedules.views import in_units, next_of

    if as_json:
        print(json.dumps(about, indent=2))
        return
    late = f", up to {in_units(about['deadline_s'])} late" if about["deadline_s"] else ""
    facts = {"name": about["name"], "when": about["when"], "state": about["state"], "next": next_of(about)}
    if "document" in about:
        facts["document"] = about["document"]
    else:
        facts |= {"command": " ".join(["gridcwl", *about["words"]]), "folder": about["cwd"]}
    facts |= {"overlap": about["overlap"], "catch-up": f"{about['catch_up']}{late}"}
    facts |= {"new data": str(about["new_data"])} if about["trigger"]["query"] else {}
    facts |= {"problem": about["problem"]} if about["problem"] else {}
    for name, value in facts.items():
        print(f"{name:<9} {value}")
    if about["ticks"]:
        print()
        rows = [
            (_local(tick["at"]), tick["state"], tick["run"] if tick["state"] != "skipped" else "", tick["message"])
            for tick in about["ticks"]
        ]
        show(("time", "state", "run", ""), rows)


def _shown_tick(ticks: Sequence[dict[str, Any]]) -> str:
    return f"{ticks[0]['state']} {_local(ticks[0]['at'])}" if ticks else ""


def _local(at: float) -> str:
    return f"{datetime.fromtimestamp(at, UTC).astimezone():%Y-%m-%d %H:%M:%S}"


# -- driving -------------------------------------------------------------------------------------------------------


def _run(given: argparse.Namespace) -> int:
    from gridcwl.cli.logs import set_up_logging

    set_up_logging(-1 if given.quiet else 0, timestamps=True)
    news = logging.getLogger("gridcwl.schedules")
    level = news.level
    news.setLevel(logging.NOTSET if given.quiet else logging.INFO)
    state_dir = state_dir_of(given)
    try:
        with _store(given) as store:
            asyncio.run(_drive(store, state_dir, once=given.once))
    finally:
        news.setLevel(level)
    return 0


async def _drive(store: ScheduleStore, state_dir: Path, *, once: bool) -> None:
    import signal

    from gridcwl.api import Client
    from gridcwl.cli.runs_here import RunsHere
    from gridcwl.cli.schedule_runs import LocalScheduledRuns
    from gridcwl.schedules.driver import TickDriver
    from gridcwl.tasks import wait_for_any

    stopping = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, stopping.set)
    async with Client(state_dir=state_dir) as client:
        runs = RunsHere(client, state_dir, loop)
        driver = TickDriver(store, LocalScheduledRuns(runs), store.path.parent / "drivers")
        with driver.alive():
            while not stopping.is_set():
                runs.changed.clear()
                wake = await asyncio.to_thread(driver.step, time.time())
                busy = await asyncio.to_thread(driver.active)
                if once and not busy:
                    return
                await wait_for_any(stopping, runs.changed, timeout_s=min(_LOOK_S, max(0.2, wake - time.time())))
            runs.mark_stopped()
            client.cancel_all("the driver of its schedule")
