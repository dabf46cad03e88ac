"""The two examples of the documentation: a nightly check of whatever arrived, and a weekly Zooniverse export."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest
from commandline import gridcwl
from documents import Desk, new_desk

from gridcwl.testbed.fakes.zooniverse import FakeZooniverse

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "howto" / "schedules.md").read_text("utf-8")
CHECK = """#!/bin/sh
for word; do case $word in *.check.json) report=$word ;; --*) ;; *) data=$word ;; esac; done
echo "{\\"run\\": \\"$(basename $data)\\", \\"whole\\": true}" > "$report"
"""
COUNT = {
    "cwlVersion": "v1.2",
    "class": "CommandLineTool",
    "baseCommand": ["wc", "-l"],
    "inputs": {"classifications": {"type": "File", "inputBinding": {}}, "week": "string"},
    "stdout": "$(inputs.week).txt",
    "outputs": {"count": {"type": "stdout"}},
}


def shown(title: str) -> str:
    """A file of the page."""
    found = re.search(rf'```yaml title="{re.escape(title)}"\n(.*?)```', PAGE, re.DOTALL)
    assert found, title
    return found[1]


@pytest.fixture
def desk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Desk:
    made = new_desk(tmp_path, monkeypatch)
    monkeypatch.setenv("GRIDCWL_STATE_DIR", str(tmp_path / "state"))
    monkeypatch.setenv("GRIDCWL_ENGINE", "none")
    return made


def ticks(name: str) -> list[dict]:
    return json.loads(gridcwl("schedule", "show", name, "--json").stdout)["ticks"]


def test_a_nightly_check_works_on_whatever_arrived(desk, monkeypatch):
    program = Path(desk.write("bin/corsika-check", CHECK))
    program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{program.parent}:{Path('/usr/bin')}:{Path('/bin')}")
    tool = (ROOT / "cwl" / "tools" / "corsika-check.cwl").read_text("utf-8")
    bare = re.sub(r"  DockerRequirement:\n    dockerPull: .*\n", "", tool)  # the program stands on the path here
    desk.write("cwl/tools/corsika-check.cwl", bare)
    desk.write("check-arrived.cwl", shown("check-arrived.cwl"))
    desk.write("arrived.yml", shown("arrived.yml"))
    desk.write("arrived/DAT000001", "one")
    added = gridcwl("schedule", "add", "corsika", "--cron", "0 2 * * *", "--timezone", "Europe/Berlin", "--arrival",
                    "./arrived/DAT*", "--existing", "--", "--outdir", "checks/{tick:%Y-%m-%d}", "check-arrived.cwl",
                    "arrived.yml")  # fmt: skip
    assert added.code == 0, added.stderr
    gridcwl("schedule", "run", "--once")
    assert ticks("corsika") == []  # it is not two o'clock
    desk.write("arrived/DAT000002", "two")
    gridcwl("schedule", "run-now", "corsika")  # does not wait for two o'clock to look
    done = gridcwl("schedule", "run", "--once")
    (tick,) = ticks("corsika")
    assert tick["state"] == "success", done.stderr
    reports = sorted(path.name for path in (desk.folder / "checks").rglob("*.check.json"))
    assert reports == [f"{Path(did).name}.check.json" for did in sorted(tick["dids"])]
    assert len(reports) == 2
    again = gridcwl("schedule", "run-now", "corsika")
    assert "No new data have arrived for corsika" in again.stderr


def test_a_weekly_run_fetches_the_export_as_it_is_then(desk, monkeypatch):
    with FakeZooniverse({"ann": "secret"}) as zooniverse:
        monkeypatch.setenv("PANOPTES_ENDPOINT", zooniverse.url)
        monkeypatch.setenv("PANOPTES_USERNAME", "ann")
        monkeypatch.setenv("PANOPTES_PASSWORD", "secret")
        zooniverse.add("workflow", 2)
        weekly(desk, zooniverse)


def weekly(desk: Desk, zooniverse: FakeZooniverse) -> None:
    desk.write("classify.cwl", json.dumps(COUNT))
    desk.write("weekly.yml", shown("weekly.yml"))
    gridcwl("schedule", "add", "zooniverse", "--cron", "0 6 * * 1", "--", "--outdir", "weeks/{run}", "classify.cwl",
            "weekly.yml")  # fmt: skip
    for lines in (2, 3):
        zooniverse.classify("workflow", 2)
        run = gridcwl("schedule", "run-now", "zooniverse").stdout.strip()
        done = gridcwl("schedule", "run", "--once")
        (written,) = (desk.folder / "weeks" / run).glob("*-W*.txt")
        assert written.read_text().startswith(f"{lines} "), done.stderr
