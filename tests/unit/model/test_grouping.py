"""Files in groups, by number, by size, by events."""

from __future__ import annotations

import pytest

from gridcwl.errors import InputError
from gridcwl.model.grouping import Grouping, grouped, read_grouping


def file(name: str, size: int | None = None, **fields):
    about = {"class": "File", "location": f"rucio://s/{name}", "basename": name}
    return about | ({} if size is None else {"size": size}) | fields


def names(groups):
    return [[item["basename"] for item in group] for group in groups]


def test_so_many_files_per_job_in_their_order_and_the_rest_in_the_last():
    assert grouped(list("abcde"), Grouping("x", size=2)) == [["a", "b"], ["c", "d"], ["e"]]


def test_chunks_differ_by_one_at_most():
    assert grouped(list("abcde"), Grouping("x", chunks=3)) == [["a", "b"], ["c", "d"], ["e"]]
    assert grouped(list("ab"), Grouping("x", chunks=5)) == [["a"], ["b"]]


def test_chunks_balanced_by_size_hold_about_the_same_bytes():
    files = [file("a", 100), file("b", 10), file("c", 20), file("d", 70)]
    assert names(grouped(files, Grouping("x", chunks=2, balance="size"))) == [["a"], ["b", "c", "d"]]


def test_files_per_job_is_a_limit_also_when_balanced():
    files = [file("a", 100), file("b", 1), file("c", 1), file("d", 1)]
    groups = names(grouped(files, Grouping("x", size=2, balance="size")))
    assert [len(group) for group in groups] == [2, 2]


def test_files_without_bytes_leave_no_group_empty():
    assert len(grouped([file(n, 0) for n in "abc"], Grouping("x", chunks=3, balance="size"))) == 3


def test_events_come_from_the_file_or_the_store():
    files = [file("a", events=5), file("b", events=1), file("c")]
    groups = grouped(files, Grouping("x", chunks=2, balance="events"), {"rucio://s/c": 4})
    assert names(groups) == [["a"], ["b", "c"]]


def test_a_file_of_unknown_size_is_named():
    with pytest.raises(InputError, match=r"b of the input 'x' has no known number of events"):
        grouped([file("a", events=1), file("b")], Grouping("x", chunks=2, balance="events"))


@pytest.mark.parametrize(
    ("size", "chunks", "balance", "meant"),
    [
        ("events=10", None, None, Grouping("events", 10)),
        (None, "4", None, Grouping("", None, 4)),
        (None, "events=4", "size", Grouping("events", None, 4, "size")),
        ("events", "4", None, Grouping("events", None, 4)),
        ("a=b=3", None, None, Grouping("a=b", 3)),
        (None, None, None, None),
    ],
)
def test_options_mean_a_grouping(size, chunks, balance, meant):
    assert read_grouping(size, chunks, balance) == meant


@pytest.mark.parametrize(
    ("size", "chunks", "balance"),
    [("events=0", None, None), ("events", None, None), ("e=2", "3", None), (None, None, "size"), (None, "x=-1", None)],
)
def test_options_that_mean_nothing_are_refused(size, chunks, balance):
    with pytest.raises(ValueError, match="--"):
        read_grouping(size, chunks, balance)
