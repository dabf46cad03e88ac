"""The live table: what is shown of many steps, and what fits on a terminal."""

from __future__ import annotations

import io

import pytest
from rich.console import Console, Group

from gridcwl.cli.live_table import Counted, head_of, lines_of, table_of
from gridcwl.cli.pace import Paces, StepPace, clock_text, shown_rate
from gridcwl.engine.progress import StepProgress

RUN = "20261129-144448-c468f3"


def progress(name, total=10, *, workflow=False, **counts):
    known = {"taken": 0, "done": 0, "failed": 0, "skipped": 0, "blocked": 0} | counts
    return StepProgress(tuple(name.split("/")), is_workflow=workflow, total=total, **known)


def nested(workflows=14, inside=13):
    """200 steps in sub-workflows."""
    steps = []
    for number in range(workflows):
        steps.append(progress(f"part{number}", 4, workflow=True, taken=2))
        steps += [progress(f"part{number}/step{inner}", 8, taken=5, done=3) for inner in range(inside)]
    return steps


def drawn(steps, counted=None, height=20, width=80, paces=None):
    counted, paces = counted or Counted(), paces or Paces()
    console = Console(file=io.StringIO(), width=width)
    head = head_of(RUN, "0:01:02", steps, counted, paces, width)
    console.print(Group(head, table_of(steps, counted, paces, height, width)))
    return [line.rstrip() for line in console.file.getvalue().splitlines()]


def test_the_table_has_a_line_for_each_step_and_those_inside_are_indented():
    steps = [progress("align", 2, workflow=True, taken=2, done=1), progress("align/sort", 9, taken=8, done=3, failed=1)]
    lines = drawn(steps, Counted({"align/sort": 2}))
    assert lines[0] == f"gridcwl  {RUN}  0:01:02  3 of 9 jobs, 2 running, 1 failed"
    assert lines[1].split() == ["step", "done", "running", "waiting", "failed"]
    assert lines[2].split()[0] == "align"
    assert lines[3].startswith("  sort")
    assert lines[3].split()[2:] == ["3", "of", "9", "2", "3", "1"]


def test_the_bar_shows_what_is_done_failed_and_running():
    (line,) = [line for line in drawn([progress("s", 8, taken=8, done=4, failed=2)], Counted({"s": 1})) if "━" in line]
    assert "━━━━━━━─" in line


def test_a_step_that_failed_before_is_not_run():
    assert drawn([progress("late", None, blocked=1)])[-1].split() == ["late", "not", "run"]


@pytest.mark.parametrize("width", [40, 60, 80, 120])
def test_no_line_is_wider_than_the_terminal(width):
    steps = [
        *nested(),
        progress("a_single_step_with_a_rather_long_name_that_goes_on_and_on", 100_000, taken=70_000, done=9),
    ]
    counted = Counted({"part1/step1": 12_345}, {"part1/step1": 17}, {"part1/step1": 4})
    lines = drawn(steps, counted, width=width)
    assert max(map(len, lines)) <= width
    assert lines[0].startswith(f"gridcwl  {RUN}")


def test_two_hundred_steps_fit_as_quiet_sub_workflows_are_closed():
    steps = nested()
    steps[14 * 5 + 3] = progress("part5/step2", 8, taken=5, done=3, failed=1)
    lines = lines_of(steps, Counted({"part3/step1": 2, "part3/step2": 1}), 30)

    assert len(lines) <= 30
    shown = {line.step.name: line for line in lines}
    assert {f"part{number}" for number in range(14)} <= set(shown)
    assert (shown["part3"].running, shown["part3"].closed) == (3, 13)
    assert "part5/step2" in shown  # where something failed is closed last


def test_a_closed_sub_workflow_shows_the_failures_within_it():
    steps = nested(2, 3)
    steps[1] = progress("part0/step0", 8, taken=5, done=3, failed=2)
    (first, second) = lines_of(steps, Counted(), 2)
    assert (first.step.failed, second.step.failed) == (2, 0)


def test_a_closed_sub_workflow_counts_the_jobs_within_it():
    steps = [
        progress("part", 1, workflow=True, taken=1),
        progress("part/first", 8, taken=8, done=6),
        progress("part/inner", 1, workflow=True, taken=1),
        progress("part/inner/second", 4, taken=1, done=1),
        progress("part/third", None),
    ]
    (line,) = [line for line in drawn(steps, Counted({"part/first": 2}), height=1) if line.startswith("part")]
    assert line.split() == ["part", "(4", "steps)", "━━━━━━──", "7", "of", "12+", "2", "3"]


def test_a_table_larger_than_the_terminal_shows_what_matters():
    steps = [progress(f"s{number}") for number in range(50)]
    steps[40] = progress("s40", taken=1, failed=1)
    steps[30] = progress("s30", taken=1)
    assert [line.step.name for line in lines_of(steps, Counted(), 3)] == ["s0", "s30", "s40"]
    assert drawn(steps, height=4)[-1] == "... and 47 more steps"
    assert len(drawn(steps, height=4)) == 2 + 4


def test_columns_without_anything_in_them_are_left_out():
    titles = next(line for line in drawn([progress("s", taken=2, done=2)]) if line.startswith("step")).split()
    assert "retried" not in titles
    assert "failed" not in titles
    reused = next(line for line in drawn([progress("s")], Counted(reused={"s": 2})) if line.startswith("step")).split()
    assert "reused" in reused


# -- rates and times ---------------------------------------------------------------------------------------------------


def test_the_rate_is_that_of_the_last_minute():
    pace = StepPace()
    for second in range(0, 600, 2):
        pace.note(float(second), second)  # one per second
    for second in range(600, 700, 2):
        pace.note(float(second), 600 + 5 * (second - 600))
    assert pace.rate(700.0, 1100) == pytest.approx(5.0, rel=0.1)


def test_a_slow_step_is_seen_over_a_longer_time():
    pace = StepPace()
    for minute in range(0, 60 * 240, 60):
        pace.note(float(minute), minute // 3600)
    assert pace.rate(60.0 * 240, 4) == pytest.approx(1 / 3600, rel=0.1)
    assert pace.left_s(60.0 * 240, 4, 2) == pytest.approx(7200, rel=0.1)


def test_a_step_of_which_nothing_has_ended_has_no_estimate():
    pace = StepPace()
    pace.note(0.0, 0)
    assert pace.rate(100.0, 0) is None
    assert pace.left_s(100.0, 0, 5) is None


def test_a_run_has_no_time_left_while_a_step_does_not_know_its_jobs():
    now = [0.0]
    paces = Paces(lambda: now[0])
    paces.note([progress("a", 10, taken=10)])
    now[0] = 10.0
    known = [progress("a", 10, taken=10, done=5)]
    assert paces.run_left_s(known) == 10.0
    assert paces.run_left_s([*known, progress("b", None)]) is None
    assert "ETA 0:00:10" in drawn(known, paces=paces)[0] + drawn(known, paces=paces)[1]


@pytest.mark.parametrize(
    ("rate", "text"), [(None, ""), (2.123, "2.12/s"), (0.25, "15/min"), (0.001, "3.6/h"), (250.4, "250/s")]
)
def test_rates_are_shown_in_a_unit_that_can_be_read(rate, text):
    assert shown_rate(rate) == text


def test_times_are_shown_with_days():
    assert [clock_text(number) for number in (None, 65.0, 90_000.0)] == ["", "0:01:05", "1 d 1:00"]
