"""Spans of time as people type them: one reading for every command and page."""

from __future__ import annotations

import pytest

from gridcwl.runs.units import seconds_of


@pytest.mark.parametrize(
    ("text", "seconds"),
    [("90s", 90), ("15m", 900), ("90min", 5400), ("6h", 21_600), ("1.5d", 129_600), ("2w", 1_209_600), (" 5 m ", 300)],
)
def test_a_span_of_time_is_read_in_each_unit(text: str, seconds: float) -> None:
    assert seconds_of(text) == seconds


def test_a_number_alone_counts_in_the_unit_that_the_caller_names() -> None:
    assert seconds_of("3") == 3
    assert seconds_of("3", "d") == 3 * 86_400


@pytest.mark.parametrize("text", ["", "h", "-3d", "nan", "inf", "1e3", "3 fortnights", "\uff13d"])
def test_what_is_no_span_of_time_is_none(text: str) -> None:
    assert seconds_of(text) is None
