"""Tables for people fit the terminal."""

from __future__ import annotations

from gridcwl.cli.tables import fitted
from gridcwl.runs.units import roughly


def test_columns_that_may_be_cut_give_way_and_the_others_keep_their_width() -> None:
    columns = ("run", "name", "state", "document")
    rows = [["20261129-024230-c9f085", "n" * 30, "success", "d" * 40]]
    widths = fitted(columns, rows, ("name", "document"), 60)
    assert widths[0] == 22
    assert widths[2] == len("success")
    assert sum(widths) + 3 * 2 == 60
    assert fitted(columns, rows, ("name", "document"), 200) == [22, 30, 7, 40]
    assert fitted(columns, rows, ("name", "document"), 10) == [22, 6, 7, 6]


def test_spans_of_time_are_reported_in_their_largest_unit() -> None:
    assert [roughly(seconds) for seconds in (3, 59.9, 60, 7200, 36 * 3600, 5 * 86400)] == [
        "3 s", "59 s", "1 min", "2 h", "36 h", "5 d",
    ]  # fmt: skip
