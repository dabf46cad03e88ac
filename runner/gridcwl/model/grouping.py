"""Input files in groups: each group is the input of one job, or of one run. Pure, and the same for the same files."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal, TypeAlias

from gridcwl.errors import InputError
from gridcwl.model.chunks import chunks

Balance: TypeAlias = Literal["", "size", "events"]


@dataclass(frozen=True, slots=True)
class Grouping:
    """How the items of one input are grouped. Either ``size`` or ``chunks`` is given.

    Attributes:
        input: its name; empty for the only one that fits.
        size: items in a group, at most.
        chunks: the number of groups; fewer if there are fewer items.
        balance: groups of about the same bytes or events; empty keeps neighbours together.
    """

    input: str = ""
    size: int | None = None
    chunks: int | None = None
    balance: Balance = ""

    def words(self) -> dict[str, str]:
        """The options of the command line that mean it."""
        name = f"{self.input}=" if self.input else ""
        made = {"--group": f"{name}{self.size}"} if self.chunks is None else {"--chunks": f"{name}{self.chunks}"}
        return made | ({"--balance": self.balance} if self.balance else {})

    def plain(self) -> dict[str, Any]:
        """For the journal."""
        return {"input": self.input, "size": self.size, "chunks": self.chunks, "balance": self.balance}


def grouped(
    items: Sequence[Any], how: Grouping, events: Mapping[str, int] | None = None, *, name: str = ""
) -> list[list[Any]]:
    """The items in groups, each in the order in which it was given.

    Args:
        items: values of an input: Files, numbers, texts.
        how: the size or number of groups.
        events: by location, where files do not say it themselves.
        name: of the input, for messages.

    Raises:
        InputError: groups are to be balanced, and an item has no size or number of events.
    """
    if not items:
        return []
    count = how.chunks if how.chunks is not None else -(-len(items) // (how.size or 1))
    count = min(count, len(items))
    if not how.balance:
        return _neighbours(items, count) if how.chunks is not None else _slices(items, how.size or 1)
    weights = [_weight(item, how.balance, events or {}, name or how.input) for item in items]
    return _balanced(items, weights, count, how.size if how.chunks is None else None)


def _slices(items: Sequence[Any], size: int) -> list[list[Any]]:
    return [list(some) for some in chunks(items, size)]


def _neighbours(items: Sequence[Any], count: int) -> list[list[Any]]:
    """Groups whose sizes differ by one at most, the larger ones first."""
    least, more = divmod(len(items), count)
    ends, groups = 0, []
    for number in range(count):
        begin, ends = ends, ends + least + (number < more)
        groups.append(list(items[begin:ends]))
    return groups


def _balanced(items: Sequence[Any], weights: Sequence[int], count: int, most: int | None) -> list[list[Any]]:
    """The heaviest item first, each to the lightest group that has room; no group stays empty."""
    members: list[list[int]] = [[] for _ in range(count)]
    totals = [0] * count
    for index in sorted(range(len(items)), key=lambda at: (-weights[at], at)):
        open_ = [group for group in range(count) if most is None or len(members[group]) < most]
        group = min(open_, key=lambda at: (bool(members[at]), totals[at], len(members[at]), at))
        members[group].append(index)
        totals[group] += weights[index]
    return [[items[index] for index in sorted(group)] for group in sorted(map(sorted, members))]


def _weight(item: Any, balance: str, events: Mapping[str, int], name: str) -> int:
    value: Any = None
    if isinstance(item, Mapping):
        location = str(item.get("location") or item.get("path") or "")
        if balance == "size":
            value = item.get("size")
        else:
            told = (item[key] for key in item if str(key).rpartition(":")[2].rpartition("#")[2] == "events")
            value = next(told, events.get(location))
    if isinstance(value, bool) or not isinstance(value, int) or value < 0:
        what = "number of events" if balance == "events" else "size"
        shown = item.get("basename") or item.get("location") if isinstance(item, Mapping) else item
        raise InputError(
            f"{shown} of the input '{name}' has no known {what}, so that groups cannot be balanced by it",
            remedy="Write 'events: N' into each File of the input object, or leave out the balance."
            if balance == "events"
            else "Balance by events, or leave out the balance.",
        )
    return value


def read_grouping(size: str | None, chunks: str | None, balance: str | None) -> Grouping | None:
    """What ``--group``, ``--chunks`` and ``--balance`` mean together; None if none is given.

    Raises:
        ValueError: they do not fit each other; with a sentence that says why.
    """
    if size is None and chunks is None:
        if balance:
            raise ValueError("--balance has no effect without --group or --chunks")
        return None
    first, second = _named(size, "--group"), _named(chunks, "--chunks")
    if size is not None and chunks is not None and first[1] is not None:
        raise ValueError("--group INPUT=N and --chunks N exclude each other: either files per job, or a number of jobs")
    name = first[0] or second[0]
    if size is not None and chunks is None and first[1] is None:
        raise ValueError(f"--group takes INPUT=N, as in --group {first[0] or 'events'}=10")
    chosen: Balance = "size" if balance == "size" else "events" if balance == "events" else ""
    return Grouping(name, first[1] if chunks is None else None, second[1], chosen)


def _named(text: str | None, option: str) -> tuple[str, int | None]:
    """``INPUT=N``, ``N`` or ``INPUT``."""
    if text is None:
        return "", None
    name, sign, number = text.rpartition("=")
    if not sign and not text.isdigit():
        return text, None
    if not number.isdigit() or int(number) < 1:
        raise ValueError(f"{option} takes INPUT=N with a whole number from 1 on, not {text!r}")
    return name, int(number)
