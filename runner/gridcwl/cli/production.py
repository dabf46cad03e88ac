"""``gridcwl production``: one document over a growing list of inputs or seeds, in portions, each of which is a run."""

from __future__ import annotations

import argparse
import asyncio
import json
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from gridcwl.cli.parsing import Act, Actions, Parser, acted, here_or_at_server, positive, state_dir_of
from gridcwl.cli.runs_here import RunsHere, RunState
from gridcwl.errors import ConfigError, GridCWLError, UsageError
from gridcwl.model.names import checked_name
from gridcwl.productions.driver import ProductionDriver
from gridcwl.productions.model import Portion, Production, portions_of, progress, seeds_of
from gridcwl.productions.store import ProductionStore
from gridcwl.productions.views import sentence
from gridcwl.tasks import wait_for_any

if TYPE_CHECKING:
    from gridcwl.runs.options import Options
    from gridcwl.runs.record.folder import RunFolder

_EPILOG = """\
  gridcwl production create mc --seeds seed=1..2000 --portion 100 \\
      -- --backend dirac --store rucio corsika.cwl inputs.yml
  gridcwl production extend mc --count 2000       # seeds continue
  gridcwl production create dl1 --over 'events=rucio://cta/dl0*' --each 10 -- reduce.cwl
  gridcwl production status mc

create, extend and retry work until all has ended; Ctrl-C stops them, and retry continues.
"""
_MOST_FAILURES = 10
_LOOK_S = 1.0
"""The longest wait for the next step: another process may stop the production."""


def main(arguments: Sequence[str]) -> int:
    """Do what the first word says; returns the exit code.

    Raises:
        GridCWLError: an option is wrong, or there is no such production.
        SystemExit: ``--help``.
    """
    return acted(parser(), arguments)


def parser() -> Parser:
    """The command line of ``gridcwl production``."""
    made = Parser(
        prog="gridcwl production",
        description="One document over a growing list of inputs or seeds, in portions, each of which is a run.",
        epilog=_EPILOG,
    )
    actions = Actions(made, "production")

    def action(name: str, act: Any, text: str, *, all_too: bool = False) -> argparse.ArgumentParser:
        one = actions(name, here_or_at_server(name, act, _at_server), text, all_too=all_too)
        one.add_argument("--server", metavar="URL", help="productions of this gridcwl serve, which runs them")
        return one

    create = action("create", _create, "create a production and run it: -- [OPTIONS] DOCUMENT [INPUTS.yml]")
    create.add_argument("--seeds", metavar="INPUT=FIRST..LAST", help="numbers for this input, as seed=1..2000")
    create.add_argument("--over", metavar="INPUT=QUERY|FILE", help="data that a query finds, or a file of lines")
    create.add_argument("--each", type=positive, default=1, metavar="N", help="values for one instance (default 1)")
    create.add_argument("--portion", type=positive, default=100, metavar="N", help="instances in a run (default 100)")
    create.add_argument("--at-once", type=positive, default=4, metavar="N", help="runs at a time (default 4)")
    create.add_argument(
        "--resubmit", type=int, default=2, metavar="N", help="submit failed parts again N times (default 2)"
    )
    create.add_argument("--only-create", action="store_true", help="run nothing yet; retry does")
    status = action("status", _status, "show productions, or one with its portions and failures", all_too=True)
    status.add_argument("--json", action="store_true", help="print JSON")
    extend = action("extend", _extend, "add more items and run them: seeds continue, a query is repeated")
    extend.add_argument("--count", type=positive, metavar="N", help="number of seeds to add")
    extend.add_argument("--only-create", action="store_true", help="run nothing yet; retry does")
    action("retry", _retry, "continue a production, and submit its failed part again; what finished is kept")
    action("stop", _stop, "stop a production: its active runs, and what has not been submitted")
    return made


def _at_server() -> Mapping[str, Act]:
    from gridcwl.cli import server_productions

    return server_productions.ACTIONS


def _store(given: argparse.Namespace) -> ProductionStore:
    return ProductionStore(state_dir_of(given) / "productions" / "productions.db")


# -- items ---------------------------------------------------------------------------------------------------------


def _create(given: argparse.Namespace) -> int:
    from gridcwl.cli.logs import set_up_logging
    from gridcwl.cwl.load import load, locate
    from gridcwl.runs.from_options import evaluation
    from gridcwl.schedules.store import new_id

    set_up_logging(0)
    if not given.words:
        raise UsageError(
            "production: there is no document", remedy="Write it behind --: -- [OPTIONS] DOCUMENT [INPUTS]"
        )
    if bool(given.seeds) == bool(given.over):
        raise UsageError("production: either --seeds or --over must be given")
    name, _, query = (given.over or "").partition("=")
    if given.over and not (name and query):
        raise UsageError(f"--over takes INPUT=QUERY or INPUT=FILE, not {given.over!r}")
    items: Sequence[Any] = ()
    if given.seeds:
        name, items = seeds_of(given.seeds)
    production = Production(
        id=new_id(),
        name=checked_name(given.name, "production"),
        input=name,
        query=query,
        counts=bool(given.seeds),
        each=given.each,
        portion=given.portion,
        at_once=given.at_once,
        resubmit=given.resubmit,
        words=tuple(given.words),
        cwd=str(Path.cwd()),
        created=float(int(time.time())),
    )
    options = options_of(production)
    process = load(locate(options.document)[0], evaluation(options)).process
    from gridcwl.cwl.grouped import input_to_group

    input_to_group(process, name)
    items = items or _found(production, options, known=())
    if not items:
        raise ConfigError(f"{query} finds nothing", remedy="A production needs one item at least.")
    with _store(given) as store:
        store.create(production, portions_of(production, list(items), 1))
        print(f"gridcwl: created {production.name}: {len(items)} items", file=sys.stderr)
        return 0 if given.only_create else _drive(store, production, state_dir_of(given))


def _extend(given: argparse.Namespace) -> int:
    with _store(given) as store:
        production = store.get(given.name)
        portions = store.portions(given.name)
        known = [item for portion in portions for item in portion.items]
        if production.counts:
            if not given.count:
                raise UsageError("production: --count must be given: how many more seeds")
            items: Sequence[Any] = range(known[-1] + 1, known[-1] + 1 + given.count)
        elif given.count:
            raise UsageError("production: --count is for seeds; here the query is asked again")
        else:
            items = _found(production, options_of(production), known=known)
        store.extend(given.name, portions_of(production, list(items), len(portions) + 1))
        print(f"gridcwl: extended {given.name} by {len(items)} items", file=sys.stderr)
        if given.only_create or not items:
            return 0
        return _drive(store, production, state_dir_of(given))


def _found(production: Production, options: Options, *, known: Sequence[Any]) -> list[Any]:
    """The items that a query finds, or that a file lists, without those that are known."""
    from gridcwl.runs.finding import found

    listed = Path(production.cwd, production.query)
    items: list[Any]
    if listed.is_file() and "*" not in production.query:
        items = [line for line in listed.read_text("utf-8").splitlines() if line.strip()]
    else:
        items = [{"class": "File", "location": url} for url in found(production.query, options, Path(production.cwd))]
    before = {json.dumps(item, sort_keys=True) for item in known}
    return [item for item in items if json.dumps(item, sort_keys=True) not in before]


def options_of(production: Production) -> Options:
    """What a production's command line means.

    Raises:
        GridCWLError: it is wrong.
    """
    from gridcwl.cli.options import parse
    from gridcwl.model.grouping import Grouping

    options = parse(list(production.words))
    if options.grouping is not None:
        raise UsageError("production: --group has no effect; --each says how many values an instance gets")
    if len(options.words) > 1 or (options.words and options.words[0].startswith("-")):
        raise UsageError(
            "production: inputs are given in a file", remedy="Write them to a file: ... DOCUMENT INPUTS.yml"
        )
    return replace(options, grouping=Grouping(production.input, production.each), on_error="continue", loudness=-1)


# -- runs ----------------------------------------------------------------------------------------------------------


class RunsOfPortions:
    """Implements ``gridcwl.productions.driver.PortionRuns``."""

    def __init__(self, runs: RunsHere) -> None:
        self._runs = runs

    def start(self, production: Production, portion: Portion) -> None:
        """See ``PortionRuns.start``."""
        from gridcwl.cli.schedule_runs import filled

        options = options_of(production)
        label = f"portion-{portion.number:04d}"
        options = replace(
            options,
            state_dir=self._runs.state_dir,
            outdir=options.outdir / label,
            run_name=f"{production.name}-{portion.number}",
        )
        items = list(portion.items)
        options, text = filled(options, Path(production.cwd), lambda value: {**value, production.input: items})
        if text is None:
            options, text = replace(options, words=("",)), json.dumps({production.input: items})
        self._runs.start(portion.run, options, Path(production.cwd), text)

    def resume(self, portion: Portion) -> None:
        """See ``PortionRuns.resume``."""
        self._runs.resume(portion.run)

    def state(self, portion: Portion) -> tuple[RunState, str]:
        """See ``PortionRuns.state``."""
        return self._runs.state(portion.run)

    def failures(self, portion: Portion) -> int:
        """See ``PortionRuns.failures``."""
        from gridcwl.productions.collecting import failed_instances

        return failed_instances(self._runs.folder(portion.run))

    def cancel(self, portion: Portion) -> None:
        """See ``PortionRuns.cancel``."""
        self._runs.cancel(portion.run)

    def collect(self, production: Production, portion: Portion) -> None:
        """See ``PortionRuns.collect``: a container of the store holds the containers of all runs."""
        from gridcwl.productions.collecting import collect

        if (folder := self._runs.folder(portion.run)) is not None:
            collect(folder.journal, production, options_of(production).document)


def _retry(given: argparse.Namespace) -> int:
    with _store(given) as store:
        return _drive(store, store.get(given.name), state_dir_of(given), retry=True)


def _stop(given: argparse.Namespace) -> int:
    with _store(given) as store:
        store.get(given.name)
        store.set_stopped(given.name, stopped=True)
    print(f"gridcwl: {given.name} stops; continue it: gridcwl production retry {given.name}", file=sys.stderr)
    return 0


def _drive(store: ProductionStore, production: Production, state_dir: Path, *, retry: bool = False) -> int:
    from gridcwl.cli.logs import set_up_logging

    set_up_logging(0)
    with store.driving(production.name):
        store.set_stopped(production.name, stopped=False)
        stopped = asyncio.run(_driven(store, production, state_dir, retry=retry))
    standing = progress(production, store.portions(production.name))
    print(f"gridcwl: {production.name}: {_sentence(standing)}", file=sys.stderr)
    if not standing.complete:
        what = "stopped; continue it" if stopped else "see what failed"
        action = "retry" if stopped else "status"
        print(f"{what.capitalize()}: gridcwl production {action} {production.name}", file=sys.stderr)
    return 0 if standing.complete else 1


async def _driven(store: ProductionStore, production: Production, state_dir: Path, *, retry: bool) -> bool:
    import signal

    from gridcwl.api import Client

    stopping = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, stopping.set)
    shown = None
    async with Client(state_dir=state_dir) as client:
        runs = RunsHere(client, state_dir, loop)
        driver = ProductionDriver(store, RunsOfPortions(runs), production)
        await asyncio.to_thread(driver.take_over)
        if retry:
            await asyncio.to_thread(driver.retry)
        while not stopping.is_set():
            runs.changed.clear()
            busy = await asyncio.to_thread(driver.step)
            standing = progress(production, store.portions(production.name))
            if standing != shown:
                print(f"gridcwl: {production.name}: {_sentence(standing)}", file=sys.stderr)
                shown = standing
            if not busy:
                return store.is_stopped(production.name)
            await wait_for_any(stopping, runs.changed, timeout_s=_LOOK_S)
        runs.mark_stopped()
        client.cancel_all("the driver of its production")
    return True


# -- views ---------------------------------------------------------------------------------------------------------


def _sentence(standing: Any) -> str:
    return sentence(
        {"done": standing.done, "total": standing.total, "running": standing.running, "failed": standing.failed}
    )


def _status(given: argparse.Namespace) -> int:
    from gridcwl.productions.views import plain, summary

    with _store(given) as store:
        if given.name is None:
            rows = [summary(one, store.portions(one.name), stopped=store.is_stopped(one.name)) for one in store.all()]
            print_list(rows, as_json=given.json)
            return 0
        production, stopped = store.get(given.name), store.is_stopped(given.name)
        portions = store.portions(given.name)
    failures = list(_failures(state_dir_of(given), portions))
    print_one(plain(production, portions, failures, stopped=stopped), as_json=given.json)
    return 0


def print_list(found: Sequence[dict[str, Any]], *, as_json: bool) -> None:
    """Show productions."""
    from gridcwl.cli.tables import show

    names = ("name", "state", "done", "total", "failed")
    if as_json:
        print(json.dumps(found))
    elif found:
        show(names, [tuple(str(one[name]) for name in names) for one in found], right=names[2:])
    else:
        print("no productions")


def print_one(about: dict[str, Any], *, as_json: bool) -> None:
    """Show a production with its portions and failures."""
    from gridcwl.cli.tables import show
    from gridcwl.productions.views import items_of

    if as_json:
        print(json.dumps(about, indent=2))
        return
    print(f"{about['name']}: {sentence(about)}" + (", stopped" if about["stopped"] else ""))
    listed = [
        (
            str(one["number"]),
            items_of(one),
            one["state"],
            str(one["tries"]),
            one["run"],
            one["message"].split("\n")[0][:60],
        )
        for one in about["portions"]
    ]
    show(("portion", "items", "state", "tries", "run", ""), listed, right=("portion", "tries"))
    failures = about["failures"]
    for failure in failures[:_MOST_FAILURES]:
        print(f"failed  {failure['run']}  {failure['job']}: {failure['reason']}")
    if len(failures) > _MOST_FAILURES:
        print(f"and {len(failures) - _MOST_FAILURES} more: gridcwl status RUN")


def _failures(state_dir: Path, portions: Sequence[Portion]) -> Iterator[dict[str, str]]:
    from gridcwl.productions.collecting import failures_of
    from gridcwl.runs.record.folder import find

    def folder_of(portion: Portion) -> RunFolder | None:
        try:
            return find(state_dir, portion.run).folder
        except GridCWLError:
            return None

    return failures_of(portions, folder_of)
