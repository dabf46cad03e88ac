"""Productions and their portions: plain values and pure decisions."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from enum import StrEnum
from typing import Any

import msgspec

from gridcwl.errors import ConfigError
from gridcwl.model import RunId
from gridcwl.model.chunks import chunks

_SEEDS = re.compile(r"(?P<input>[^=]+)=(?P<first>-?\d+)\.\.(?P<last>-?\d+)")
MOST_ITEMS = 1_000_000


class Production(msgspec.Struct, frozen=True, kw_only=True):
    """A production, as its user wrote it.

    Attributes:
        id: ids of its runs come from it.
        name: for people, and of its container in Rucio.
        input: the document's input that gets the items.
        query: finds the items; empty if they are numbers that count on, or values that were given.
        counts: the items are numbers that count on: seeds.
        each: items for one instance of the document.
        portion: instances in one run.
        at_once: runs that are active at a time.
        resubmit: how often the failed part of a run is submitted again by itself.
        words: a command line of ``gridcwl``.
        cwd: where relative paths count from.
        created: seconds since 1970.
        owner: whose runs these are, at a service.
        groups: at a service, who sees the runs.
        request: at a service, the fields of a request for a run, in place of ``words``.
        files: at a service, where what was attached to the request is kept.
    """

    id: str
    name: str
    input: str
    query: str = ""
    counts: bool = False
    each: int = 1
    portion: int = 100
    at_once: int = 4
    resubmit: int = 2
    words: tuple[str, ...] = ()
    cwd: str = ""
    created: float = 0.0
    owner: str = ""
    groups: tuple[str, ...] = ()
    request: dict[str, str] = {}
    files: str = ""

    @property
    def key(self) -> str:
        """How its record knows it: at a service, several users may have one of the same name."""
        return self.id if self.owner else self.name


class PortionState(StrEnum):
    """How a portion stands."""

    WAITING = "waiting"
    RUNNING = "running"
    SUCCESS = "success"
    FAILED = "failed"
    STOPPED = "stopped"


@dataclass(frozen=True, slots=True)
class Portion:
    """Items that one run works on.

    Attributes:
        number: from 1 on.
        items: values of the production's input.
        run: the id of its run.
        state: how it stands.
        tries: how often it was submitted.
        message: why it failed.
        failed: instances that failed at last.
    """

    number: int
    items: tuple[Any, ...]
    run: RunId
    state: PortionState = PortionState.WAITING
    tries: int = 0
    message: str = ""
    failed: int = 0

    def instances(self, each: int) -> int:
        """How many instances of the document it has."""
        return -(-len(self.items) // each)


def seeds_of(text: str) -> tuple[str, range]:
    """``INPUT=FIRST..LAST``.

    Raises:
        ConfigError: it is not.
    """
    found = _SEEDS.fullmatch(text)
    if not found or int(found["first"]) > int(found["last"]):
        raise ConfigError(f"{text!r} are no seeds", remedy="Write INPUT=FIRST..LAST, as in seed=1..2000.")
    made = range(int(found["first"]), int(found["last"]) + 1)
    if len(made) > MOST_ITEMS:
        raise ConfigError(f"A production has at most {MOST_ITEMS} items", remedy="Extend it later.")
    return found["input"], made


def portions_of(production: Production, items: Sequence[Any], first: int) -> Iterator[Portion]:
    """New portions of items.

    Args:
        production: of the items.
        items: in their order.
        first: the number of the first portion.
    """
    size = production.each * production.portion
    for number, some in enumerate(chunks(items, size), first):
        digest = hashlib.sha256(f"{production.id}\0{number}".encode()).hexdigest()[:6]
        # a second for each portion: ids sort by number, and do not collide
        made = datetime.fromtimestamp(production.created + number, UTC)
        yield Portion(number, tuple(some), RunId(f"{made:%Y%m%d-%H%M%S}-{digest}"))


@dataclass(frozen=True, slots=True)
class PortionDecision:
    """Portions to start, and portions whose failed part is to be submitted again."""

    start: tuple[Portion, ...] = ()
    resubmit: tuple[Portion, ...] = ()


def decide(production: Production, portions: Iterable[Portion]) -> PortionDecision:
    """What to do now, with no more runs at a time than the production wants. First comes what failed."""
    known = list(portions)
    room = production.at_once - sum(portion.state is PortionState.RUNNING for portion in known)
    failed = [
        portion for portion in known if portion.state is PortionState.FAILED and portion.tries <= production.resubmit
    ]
    again = failed[: max(room, 0)]
    waiting = [portion for portion in known if portion.state is PortionState.WAITING]
    return PortionDecision(tuple(waiting[: max(room - len(again), 0)]), tuple(again))


@dataclass(frozen=True, slots=True)
class Progress:
    """How a production stands, in instances of its document."""

    total: int
    done: int
    running: int
    failed: int

    @property
    def complete(self) -> bool:
        """All of it has succeeded."""
        return self.total > 0 and self.done == self.total


def progress(production: Production, portions: Iterable[Portion]) -> Progress:
    """The instances by state."""
    total = done = running = failed = 0
    for portion in portions:
        count = portion.instances(production.each)
        total += count
        if portion.state is PortionState.SUCCESS:
            done += count
        elif portion.state is PortionState.RUNNING:
            running += count
        elif portion.state in (PortionState.FAILED, PortionState.STOPPED):
            failed += portion.failed
            done += max(0, count - portion.failed) if portion.failed else 0
    return Progress(total, done, running, failed)
