"""How much of a worker's disk a job takes, going by jobs of an earlier run."""

from __future__ import annotations

import pytest

from gridcwl.runs.disk_forecast import DiskForecast, DiskUse, expected


def test_what_is_written_is_in_proportion_to_the_inputs() -> None:
    samples = [DiskUse(100, 100, 50), DiskUse(100, 100, 52)]
    assert expected(1000, samples) == 520


def test_what_does_not_depend_on_the_inputs_stays_the_same() -> None:
    picture = [DiskUse(100, 0, 40), DiskUse(300, 0, 40)]
    assert expected(1000, picture) == 40


@pytest.mark.parametrize("size", [0, 150, 400, 5000])
def test_a_constant_part_and_a_proportional_one_are_told_apart(size: int) -> None:
    samples = [DiskUse(inputs, 0, 30 + 2 * inputs) for inputs in (100, 200, 400)]
    assert expected(size, samples) == (30 + 2 * size if size else 830)


def test_a_job_that_wrote_more_than_the_line_raises_it() -> None:
    samples = [DiskUse(100, 0, 100), DiskUse(150, 0, 180), DiskUse(200, 0, 200)]
    assert expected(150, samples) == 180


def test_inputs_of_unknown_size_leave_the_most_that_was_written() -> None:
    assert expected(1000, [DiskUse(0, 0, 7), DiskUse(0, 0, 9)]) == 9


def test_less_than_nothing_is_nothing() -> None:
    assert expected(10, [DiskUse(100, 0, 0), DiskUse(200, 0, 100)]) == 0


def test_a_forecast_says_what_it_rests_on() -> None:
    assert (
        str(DiskForecast(10, 20, "R"))
        == "30 bytes for one job: 10 bytes of inputs and 20 bytes written, going by run R"
    )
    assert str(DiskForecast(0, 20)) == "up to 20 bytes for one job: 20 bytes requested; no earlier run is known"
