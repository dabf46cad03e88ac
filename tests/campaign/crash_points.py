"""Crash points, enumerated: a run is ended before its first system call that changes something, another before its
second, ..., until one comes to its end; each is resumed and has to end as if nothing had been.

Which call it was is noted: of the journal's file, of what is published, of what is sent to a server, and of all others.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field

from campaign.combinations import Place
from campaign.trials import Bench, Outcome, Plan, Trial

SEED = 2
"""A document with a scatter, a generated part that is left out, and a join: five jobs, some 300 calls."""
MOST = 20_000


@dataclass
class Enumeration:
    """What became of it.

    Attributes:
        tried: points at which a client was ended, by what was to be written then.
        calls: the calls before which one was ended, with the kind of what they write to.
    """

    tried: Counter[str] = field(default_factory=Counter)
    calls: Counter[tuple[str, str]] = field(default_factory=Counter)
    violations: list[tuple[str, str]] = field(default_factory=list)


def enumerate_points(
    bench: Bench, place: Place, seed: int, *, first: int = 1, step: int = 1, resuming: int = 0, keep: bool = False
) -> Iterator[tuple[int, str, Outcome]]:
    """End a run before each call.

    Args:
        bench: of the campaign.
        place: a backend and a store.
        seed: of the document.
        first: the first point.
        step: 1 for all, else only each n-th.
        resuming: end the first client there, and enumerate the points of the one that resumes it.
        keep: the folders of trials with violations.

    Yields:
        The number of the point, the call, and the outcome.
    """
    for number in range(first, MOST, step):
        plan = Plan(seed, place.backend, place.store, (), fuzz=False)
        points = (resuming, number) if resuming else (number,)
        trial = Trial(bench, place, plan, crash_at=points, keep=keep)
        outcome = trial.run()
        call = trial.crashed_at[-1] if trial.crashed_at else ""
        if not call:
            return
        yield number, call, outcome


def kind_of(call: str) -> str:
    """Which part of gridcwl makes a call, by what it writes to."""
    path = call.partition(" ")[2]
    for name, marks in (
        ("journal", ("journal.",)),
        ("publication", ("/.gridcwl-", "outputs.db", "/desk/out")),
        ("server", ("socket:",)),
    ):
        if any(mark in path for mark in marks):
            return name
    return "other"


def collected(points: Iterator[tuple[int, str, Outcome]]) -> Enumeration:
    """All of them."""
    found = Enumeration()
    for _, call, outcome in points:
        kind = kind_of(call)
        found.tried[kind] += 1
        found.calls[call.partition(" ")[0], kind] += 1
        found.violations += outcome.violations
    return found
