"""What is shown, as text: counts, commands, failures."""

from __future__ import annotations

import io
from dataclasses import replace

import pytest

from gridcwl.cli.display import (
    LiveWatcher,
    PlainWatcher,
    described,
    failure_text,
    shown_command,
)
from gridcwl.engine.progress import StepProgress
from gridcwl.errors import JobFailed, OutputError
from gridcwl.model import Image, Job, JobId, JobResult, Outcome, RunId
from gridcwl.runs.events import JobFailure

JOB = Job(JobId("1"), RunId("r"), "align/sort[3]", ("sort", "-n", "a b"))


def progress(name, total=10, **counts):
    known = {"taken": 0, "done": 0, "failed": 0, "skipped": 0, "blocked": 0} | counts
    return StepProgress(tuple(name.split("/")), is_workflow=False, total=total, **known)


def failed(reason="The tool ended with exit code 3.", job=JOB, **fields):
    known = {"outcome": Outcome.PERMANENT_FAILURE, "exit_code": 3, "reason": reason} | fields
    result = JobResult(job.id, **known)
    return JobFailure(job, result, JobFailed(job.name, reason, exit_code=result.exit_code, logs=""))


def test_a_job_that_ran_out_of_memory_reports_how_it_gets_more():
    job = replace(JOB, resources=replace(JOB.resources, ram_mib=20))
    text = failure_text(failed("It used more memory than it was given.", job, outcome=Outcome.OUT_OF_MEMORY))
    assert "It had 20 MiB. Increase it: gridcwl resume r --retry-memory 2" in text


def test_above_the_live_table_paths_are_not_broken_into_lines(monkeypatch):
    terminal = io.StringIO()
    monkeypatch.setattr("sys.stderr", terminal)
    monkeypatch.setenv("COLUMNS", "40")
    monkeypatch.setenv("FORCE_COLOR", "1")
    log = "/home/me/.local/state/gridcwl/runs/20261123-000350-3b4fd1/logs/1-1-1/stderr.log"
    with LiveWatcher() as watcher:
        watcher.job_failed(failed(stderr_log=log))
    assert f"  logs       {log}\n" in terminal.getvalue()


def test_before_a_run_has_begun_no_table_is_drawn(monkeypatch):
    terminal = io.StringIO()
    monkeypatch.setattr("sys.stderr", terminal)
    monkeypatch.setenv("FORCE_COLOR", "1")
    with LiveWatcher():
        pass
    assert "step" not in terminal.getvalue()


@pytest.mark.parametrize(
    ("step", "running", "words"),
    [
        (progress("s", 1, done=1), 0, "done"),
        (progress("s", 7, done=2), 3, "2 of 7 done, 3 running"),
        (progress("s", 7, done=2, failed=1, skipped=4), 0, "2 of 7 done, 1 failed, 4 skipped"),
    ],
)
def test_counts_in_words(step, running, words):
    assert described(step, running) == words


def test_a_command_is_shown_as_one_could_type_it():
    assert shown_command(JOB) == "sort -n 'a b'"


def test_a_very_long_command_is_cut():
    text = shown_command(replace(JOB, command=("echo", *["word"] * 10_000)))
    assert len(text) < 2100
    assert text.endswith("... (10001 words)")


def test_the_tool_s_own_words_come_first():
    text = failure_text(failed(stderr_tail="no disk\n", stderr_log="/logs/stderr.log"))
    assert text.splitlines() == [
        "---- stderr of align/sort[3] (last line)",
        "no disk",
        "----",
        "gridcwl: align/sort[3] failed: The tool ended with exit code 3.",
        "  exit code  3",
        "  command    sort -n 'a b'",
        "  logs       /logs/stderr.log",
    ]


def test_stdout_is_heard_where_stderr_is_silent(tmp_path):
    (tmp_path / "stdout.log").write_text("".join(f"line {number}\n" for number in range(1000)))
    lines = failure_text(failed(stdout_log=str(tmp_path / "stdout.log"))).splitlines()
    assert lines[0] == "---- stdout of align/sort[3] (last 20 lines)"
    assert lines[1:21] == [f"line {number}" for number in range(980, 1000)]


@pytest.mark.parametrize(
    ("reason", "remedy"),
    [
        ("The image a:1 could not be fetched: no such host.", "Check the name in the tool's DockerRequirement"),
        ("No Docker engine answers at unix:///x: gone.", "choose another engine"),
        ("The container engine podman is not installed on this machine.", "run without containers"),
    ],
)
def test_what_lacks_in_a_place_has_a_remedy(reason, remedy):
    in_container = replace(JOB, image=Image("a:1"))
    assert remedy in failure_text(failed(reason, in_container, exit_code=None))


def test_an_output_that_is_missing_is_no_failed_command():
    failure = replace(
        failed(exit_code=0, outcome=Outcome.SUCCESS, reason=""), error=OutputError("sort left nothing", remedy="Look.")
    )
    assert failure_text(failure).splitlines()[:2] == ["gridcwl: sort left nothing", "Look."]


def test_secrets_are_crossed_out_of_failures(capsys):
    watcher = PlainWatcher()
    watcher.hide = lambda text: text.replace("sesame", "(secret)")
    watcher.job_failed(failed(stderr_tail="open sesame"))
    assert "open (secret)" in capsys.readouterr().err


def test_a_place_is_not_named_twice(capsys):
    PlainWatcher().failed("align", OutputError("align cannot be started"))
    PlainWatcher().failed("align", OutputError("it cannot be started"))
    assert capsys.readouterr().err.splitlines() == [
        "gridcwl: align cannot be started",
        "gridcwl: align: it cannot be started",
    ]


class Clock:
    def __init__(self):
        self.now = 100.0

    def __call__(self):
        return self.now


@pytest.fixture
def clock(monkeypatch):
    clock = Clock()
    monkeypatch.setattr("gridcwl.cli.display.time.monotonic", clock)
    return clock


def test_plain_lines_are_few_and_each_has_all_that_changed(clock, capsys):
    watcher = PlainWatcher()
    steps = [progress("make", 100, taken=40, done=30), progress("merge", 1)]
    watcher.started(RunId("r"), lambda: steps)
    for _ in range(240):
        clock.now += 0.25
        steps[0] = progress("make", 100, taken=100, done=int(clock.now - 100))
        watcher.tick()
    steps[:] = [progress("make", 100, taken=100, done=100), progress("merge", 1, taken=1, done=1)]
    watcher.__exit__()

    lines = capsys.readouterr().err.splitlines()

    assert len(lines) <= 12
    assert lines[0] == "[0:00:10] make: 10 of 100 done"
    assert lines[-1] == "[0:01:00] make: 100 of 100 done; merge: done"


def test_plain_lines_say_when_the_run_will_have_ended_and_what_was_reused_and_retried(clock, capsys):
    watcher = PlainWatcher()
    steps = [progress("make", 100, taken=100)]
    watcher.started(RunId("r"), lambda: steps)
    job = Job(JobId("1"), RunId("r"), "make[3]", ("true",))
    watcher.job_reused(job)
    watcher.job_ended(replace(job, attempt=2), JobResult(job.id, Outcome.SUCCESS))
    for _ in range(30):
        clock.now += 1
        steps[0] = progress("make", 100, taken=100, done=int(clock.now - 100))
        watcher.tick()

    last = capsys.readouterr().err.splitlines()[-1]

    assert last.endswith("make: 30 of 100 done; 1 reused; 1 retried; ETA 0:01:10")
