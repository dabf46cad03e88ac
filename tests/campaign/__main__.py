"""``python -m campaign``: run a campaign, enumerate crash points, repeat or reduce a trial, write the page."""

from __future__ import annotations

import argparse
import shutil
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from random import Random

from campaign import combinations, crash_points, faults, report
from campaign.combinations import Place
from campaign.scene import unmount_below
from campaign.trials import Bench, Outcome, Plan, Trial, reduced

_IN_A_ROW = 6
"""Trials on a place before the next one has its turn."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Do what the options say; returns 1 if anything was violated."""
    parser = argparse.ArgumentParser(prog="campaign", description=__doc__)
    parser.add_argument("--minutes", type=float, default=20.0, help="how long (default: 20)")
    parser.add_argument("--faults", type=int, default=0, help="end when so many were done")
    parser.add_argument("--seed", type=int, default=0, help="the first one (default: of the time)")
    parser.add_argument("--on", nargs="*", default=[], metavar="BACKEND+STORE", help="places (default: all there are)")
    parser.add_argument("--only", nargs="*", default=[], metavar="FAULT", help="kinds of faults (default: all)")
    parser.add_argument("--results", type=Path, default=Path("build/campaign"), help="where results go")
    parser.add_argument("--root", type=Path, default=Path(tempfile.gettempdir(), "gridcwl-campaign"))
    parser.add_argument("--repeat", metavar="PLAN", help="one trial, as a violation names it")
    parser.add_argument("--reduce", metavar="PLAN", help="the same, with ever fewer faults")
    parser.add_argument("--crash-points", action="store_true", help="end a run before each of its system calls")
    parser.add_argument("--step", type=int, default=1, help="with --crash-points: each n-th only")
    parser.add_argument("--page", type=Path, help="write the page of all results there, and do nothing else")
    given = parser.parse_args(arguments)
    given.results.mkdir(parents=True, exist_ok=True)
    if given.page is not None:
        return _write_page(given.results, given.page)
    root = given.root / str(time.time_ns())
    unmount_below(given.root)
    try:
        if given.repeat or given.reduce:
            return _repeat(Bench(root), Plan.parsed(given.repeat or given.reduce), root, reduce=bool(given.reduce))
        places = [tuple(word.split("+")) for word in given.on] or combinations.possible()
        if given.crash_points:
            return _crash_points(Bench(root), places, given, root)
        return _campaign(Bench(root), places, given, root)
    finally:
        kept = root / "violations"
        if kept.exists():
            shutil.copytree(kept, given.results / "violations", symlinks=True, dirs_exist_ok=True)
        shutil.rmtree(root, ignore_errors=True)


def _campaign(bench: Bench, places: Sequence[tuple[str, ...]], given: argparse.Namespace, root: Path) -> int:
    seed = given.seed or int(time.time())
    print(f"seed {seed}; on {', '.join('+'.join(place) for place in places)}", flush=True)
    until = time.monotonic() + given.minutes * 60
    tried: dict[str, Counter[str]] = {}
    done = wrong = 0
    with (given.results / f"trials-{seed}.jsonl").open("a") as results:
        for turn in range(1 << 30):
            backend, store = places[turn % len(places)]
            with combinations.opened(backend, store, root / f"place-{turn}") as place:
                for _ in range(_IN_A_ROW):
                    if time.monotonic() > until or (given.faults and done >= given.faults):
                        print(f"{done} faults, {wrong} violations: {results.name}")
                        return 1 if wrong else 0
                    plan = planned(seed, place, tried.setdefault(place.name, Counter()), given.only)
                    outcome = Trial(bench, place, plan, keep=True).run()
                    seed += 1
                    tried[place.name].update(outcome.done)
                    done, wrong = done + outcome.done.total(), wrong + len(outcome.violations)
                    print(report.line_of(outcome), file=results, flush=True)
                    _print(outcome, done)
    return 0


def planned(seed: int, place: Place, tried: Counter[str], only: Sequence[str] = ()) -> Plan:
    """A trial with faults of which there were few so far."""
    random = Random(seed)
    able = [fault.name for fault in faults.ALL if fault.possible(place) and (not only or fault.name in only)]
    chosen: list[str] = []
    for _ in range(random.randint(3, 8)):
        least = sorted(able, key=lambda name: tried[name] + chosen.count(name) + random.random() * 3)
        chosen.append(least[0])
    random.shuffle(chosen)
    return Plan(seed, place.backend, place.store, tuple(chosen))


def _print(outcome: Outcome, done: int) -> None:
    plan = outcome.plan
    names = ", ".join(outcome.done.elements()) or outcome.skipped or "no fault was in time"
    print(f"{done:5} {plan.backend}+{plan.store} seed {plan.seed}, {outcome.seconds:.1f} s: {names}", flush=True)
    for after, text in outcome.violations:
        print(f"VIOLATION after {after}: {text}\n  --repeat '{plan}'", flush=True)


def _crash_points(bench: Bench, places: Sequence[tuple[str, ...]], given: argparse.Namespace, root: Path) -> int:
    wrong = 0
    seed = given.seed or crash_points.SEED
    with (given.results / f"points-{seed}-{given.step}.jsonl").open("a") as results:
        for backend, store in places:
            with combinations.opened(backend, store, root / f"place-{backend}-{store}") as place:
                found = crash_points.enumerate_points(bench, place, seed, step=given.step, keep=True)
                for number, call, outcome in found:
                    kind = crash_points.kind_of(call)
                    line = report.line_of_point(place.name, number, kind, call, outcome.violations)
                    print(line, file=results, flush=True)
                    print(f"{place.name} {number} {kind}: {call}", flush=True)
                    for _, text in outcome.violations:
                        wrong += 1
                        print(f"VIOLATION: {text}", flush=True)
    return 1 if wrong else 0


def _repeat(bench: Bench, plan: Plan, root: Path, *, reduce: bool) -> int:
    with combinations.opened(plan.backend, plan.store, root / "place") as place:
        outcome = Trial(bench, place, plan, keep=True).run()
        _print(outcome, outcome.done.total())
        if reduce and outcome.violations:
            for smaller in reduced(bench, place, plan):
                print(f"still: --repeat '{smaller}'", flush=True)
    return 1 if outcome.violations else 0


def _write_page(results: Path, target: Path) -> int:
    trials = report.read(sorted(results.glob("trials-*.jsonl")))
    points = report.read(sorted(results.glob("points-*.jsonl")))
    target.write_text(report.page(trials, points, f"{datetime.now(UTC):%Y-%m-%d}"), "utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
