"""``gridcwl schedule``: what a user types and sees, with real runs."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from commandline import gridcwl
from documents import Desk, new_desk
from waiting import until

from gridcwl.schedules.store import ScheduleStore

TOOL = {
    "cwlVersion": "v1.2",
    "class": "CommandLineTool",
    "baseCommand": "cat",
    "inputs": {"files": {"type": "File[]?", "inputBinding": {"position": 1}}, "text": {"type": "string?"}},
    "arguments": ["/dev/null"],
    "stdout": "out.txt",
    "outputs": {"out": {"type": "stdout"}},
}


@pytest.fixture
def desk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Desk:
    made = new_desk(tmp_path, monkeypatch)
    monkeypatch.setenv("GRIDCWL_STATE_DIR", str(tmp_path / "state"))
    monkeypatch.setenv("GRIDCWL_ENGINE", "none")
    made.write("doc.cwl", json.dumps(TOOL))
    return made


def ticks(name: str) -> list[dict]:
    return json.loads(gridcwl("schedule", "show", name, "--json").stdout)["ticks"]


def test_new_files_run_once_with_a_folder_of_their_own(desk):
    desk.write("in.yml", 'files: "{dids}"\n')
    done = gridcwl("schedule", "add", "new", "--arrival", "./data/*.txt", "--existing", "--", "--outdir",
                   "out/{schedule}", "doc.cwl", "in.yml")  # fmt: skip
    assert done.code == 0, done.stderr
    desk.write("data/a.txt", "A")
    desk.write("data/b.txt", "B")
    for _ in range(2):
        assert gridcwl("schedule", "run", "--once", "--quiet").code == 0
    assert (desk.folder / "out" / "new" / "out.txt").read_text() == "AB"
    (tick,) = ticks("new")
    assert tick["state"] == "success"
    assert len(tick["dids"]) == 2
    assert tick["run"] in gridcwl("runs").stdout


def test_a_schedule_is_listed_shown_paused_and_removed(desk):
    gridcwl("schedule", "add", "nightly", "--cron", "0 2 * * *", "--timezone", "Europe/Berlin", "--", "doc.cwl")
    listed = gridcwl("schedule", "list").stdout
    assert "nightly  cron 0 2 * * * (Europe/Berlin)  active" in listed
    gridcwl("schedule", "pause", "nightly")
    assert "paused: by its user" in gridcwl("schedule", "show", "nightly").stdout
    gridcwl("schedule", "resume", "nightly")
    gridcwl("schedule", "rm", "nightly")
    assert gridcwl("schedule", "list").stdout == "no schedules\n"


def test_run_now_runs_a_paused_schedule_once(desk):
    gridcwl("schedule", "add", "s", "--cron", "0 2 * * *", "--", "--outdir", "out", "doc.cwl")
    gridcwl("schedule", "pause", "s")
    run = gridcwl("schedule", "run-now", "s").stdout.strip()
    gridcwl("schedule", "run", "--once", "--quiet")
    assert [(tick["run"], tick["state"]) for tick in ticks("s")] == [(run, "success")]


def test_a_failed_run_is_shown_with_its_reason(desk):
    desk.write("bad.cwl", json.dumps({**TOOL, "baseCommand": "false"}))
    gridcwl("schedule", "add", "s", "--cron", "0 2 * * *", "--", "--outdir", "out", "bad.cwl")
    gridcwl("schedule", "run-now", "s")
    gridcwl("schedule", "run", "--once", "--quiet")
    (tick,) = ticks("s")
    assert tick["state"] == "failed"
    assert tick["message"]


@pytest.mark.parametrize("stopped_by", [signal.SIGKILL, signal.SIGTERM])
def test_a_driver_that_is_stopped_leaves_its_run_to_the_next(desk, tmp_path, stopped_by):
    desk.write("slow.cwl", json.dumps({**TOOL, "baseCommand": ["sh", "-c"], "arguments": [
        f"echo run >> {tmp_path}/started; while [ ! -e {tmp_path}/go ]; do sleep 0.05; done"]}))  # fmt: skip
    gridcwl("schedule", "add", "s", "--cron", "0 2 * * *", "--", "--outdir", "out", "slow.cwl")
    run = gridcwl("schedule", "run-now", "s").stdout.strip()
    command = [str(Path(sys.executable).with_name("gridcwl")), "schedule", "run", "--quiet"]
    with subprocess.Popen(command, start_new_session=True) as driver:
        until((tmp_path / "started").exists)
        driver.send_signal(stopped_by)
        assert driver.wait(120) == (0 if stopped_by is signal.SIGTERM else -signal.SIGKILL)
    (tmp_path / "go").touch()
    gridcwl("schedule", "run", "--once", "--quiet")
    assert [(tick["run"], tick["state"]) for tick in ticks("s")] == [(run, "success")]


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("--", "doc.cwl"), "one of --cron, --every and --arrival"),
        (("--cron", "0 2 * *", "--", "doc.cwl"), "five fields"),
        (("--cron", "0 2 * * *", "--every", "1h", "--", "doc.cwl"), "exclude each other"),
        (("--every", "often", "--", "doc.cwl"), "takes a time"),
        (("--every", "1h", "--group-count", "2", "--", "doc.cwl"), "go with --arrival"),
        (("--every", "1h"), "there is no document"),
        (("--every", "1h", "--", "dok.cwl"), "Did you mean doc.cwl"),
        (("--every", "1h", "--", "--backnd", "x", "doc.cwl"), "--backnd"),
    ],
)
def test_mistakes_are_explained_when_a_schedule_is_added(desk, words, message):
    done = gridcwl("schedule", "add", "s", *words)
    assert done.code != 0
    assert message in done.stderr


def test_a_second_schedule_of_a_name_replaces_the_first_only_if_that_is_wanted(desk, tmp_path):
    gridcwl("schedule", "add", "s", "--every", "1h", "--", "doc.cwl")
    again = ("schedule", "add", "s", "--every", "2h", "--", "doc.cwl")
    assert "There is a schedule s already" in gridcwl(*again).stderr
    assert gridcwl("schedule", "add", "s", "--replace", *again[3:]).code == 0
    with ScheduleStore(tmp_path / "state" / "schedules" / "schedules.db") as store:
        assert store.get("s").schedule.trigger.every_s == 7200
