"""The clock is set while a run is active: forward by days, back by days."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from kept_runs import Desk

JUMPING = '''
"""Read by every Python process of the run: the time of day jumps at each look, as no clock may but some do."""
import random, time

_real = time.time
time.time = lambda: _real() + random.choice((-2, -1, 0, 1, 2)) * 86400
time.time_ns = lambda: int(time.time() * 1e9)
'''


@pytest.fixture
def desk(tmp_path: Path) -> Iterator[Desk]:
    made = Desk(tmp_path / "desk", [f"{number}" for number in range(8)])
    (made.folder / "lib").mkdir()
    (made.folder / "lib" / "sitecustomize.py").write_text(JUMPING)
    made.environment["PYTHONPATH"] = str(made.folder / "lib")
    yield made
    made.leave()


def test_a_run_under_a_jumping_clock_ends_as_any_other(desk: Desk) -> None:
    desk.open("all")
    ended = desk.run("--retries", "1")
    assert ended.code == 0, ended.stderr
    assert Path(ended.outputs["all"]["path"]).read_text() == desk.expected_output()
    assert set(desk.starts().values()) == {1}
    for command in ("runs", "status", "logs"):
        shown = desk.gridcwl(command, *(["last"] if command != "runs" else []))
        assert shown.code == 0, shown.stderr
        assert "-1 day" not in shown.stdout


def test_a_killed_run_continues_although_the_clock_went_back(desk: Desk) -> None:
    client = desk.start(*desk.words())
    desk.open("0", "1", "2")
    client.until(lambda: desk.begun() and len(desk.recorded()) >= 3)
    client.kill()
    recorded = desk.recorded()
    desk.open("all")
    ended = desk.gridcwl("resume", "last")
    assert ended.code == 0, ended.stderr
    assert Path(ended.outputs["all"]["path"]).read_text() == desk.expected_output()
    assert {shard: desk.starts()[shard] for shard in recorded} == dict.fromkeys(recorded, 1)


def test_a_time_limit_is_of_time_that_passed_not_of_the_clock(desk: Desk) -> None:
    with (desk.folder / "say.cwl").open("a") as file:
        file.write("requirements: {ToolTimeLimit: {timelimit: 3600}}\n")
    desk.open("all")
    assert desk.run().code == 0
