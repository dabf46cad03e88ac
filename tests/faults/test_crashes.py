"""The client ends between any two states of a result: nothing is lost, nothing is made twice, the outputs are the same.

What is killed is a process, at a named point, without a chance to tidy up. Backends and stores are this machine's and
fakes.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from crashes import CRASHED, SHARDS, Backend, Bench, Call, Point, Store

from gridcwl.runs.lifecycle import Transition

POINTS = [
    Point("after", Transition.SUBMIT),  # recorded as wanted; the backend does not know it yet
    Point("after", Transition.START),
    Point("after", Transition.FINISH),  # the result has come, and nobody has written it down
    Point("before", Transition.RECORD),  # the journal has it
    Point("after", Transition.RECORD),
    Point("before", Transition.COMMIT),  # the store knows its files
    Point("after", Transition.COMMIT),
    Point("before", Transition.DELIVER),  # the engine has it
    Point("after", Transition.DELIVER),
]
AGAIN = [
    Point("after", Transition.FAIL),
    Point("before", Transition.RETRY),  # the failure is recorded; the next attempt is not submitted
    Point("after", Transition.SUBMIT, again=True),
    Point("after", Transition.FINISH, again=True),
    Point("before", Transition.COMMIT, again=True),
]
"""In the life of a job whose first attempt fails."""
PUBLISHING = [
    Call("before", "gridcwl.runs.storing", "RunStorage.publish"),
    Call("after", "gridcwl.runs.storing", "RunStorage.publish"),  # the store keeps them
    Call("before", "gridcwl.runs.prepared", "finish"),  # they are in the output directory
    Call("after", "gridcwl.runs.prepared", "finish"),
]
MOVING = [
    Call("after", "gridcwl.stores.transaction", "_rename"),  # the files have moved; that can be taken back
    Call("after", "gridcwl.stores.transaction", "move"),  # and now it cannot
    Call("before", "gridcwl.runs.record.run_record", "remove_working_copies"),  # the run has succeeded
    Call("after", "gridcwl.runs.record.cleanup", "remove_tree"),  # the folder of one job has gone
]
"""While outputs are moved into the output directory, and working copies are removed."""
EXPECTED = "".join(f"made by {number}\n" for number in SHARDS)


@pytest.fixture
def bench(tmp_path: Path, request: pytest.FixtureRequest) -> Iterator[Bench]:
    backend, store = request.param
    with Bench(tmp_path, backend, store).open() as made:
        yield made


def places(*pairs: tuple[Backend, Store]) -> pytest.MarkDecorator:
    return pytest.mark.parametrize("bench", pairs, indirect=True, ids="-".join)


def crash_and_resume(bench: Bench, *points: Point | Call) -> None:
    """Run until the first point, resume until the next, ..., resume to the end."""
    recorded: dict[str, int] = {}
    for number, point in enumerate(points):
        assert bench.run(point, resume=number > 0) == CRASHED, f"{point}: {bench.log()}"
        bench.settled()
        starts = bench.starts()
        recorded = {name: starts[name] for name in bench.recorded()} | recorded
    assert bench.run(resume=True) == 0, bench.log()
    starts = bench.starts()
    assert set(starts) == {*SHARDS, "join"}
    assert {name: starts[name] for name in recorded} == recorded, "what was recorded has run again"
    if bench.backend == "dirac":  # jobs outlive the client, and none is made twice
        assert starts == {name: 2 if name == bench.failing else 1 for name in starts}
    outputs = bench.outputs()
    assert outputs["all.txt"] == EXPECTED
    assert sorted(text for name, text in outputs.items() if name != "all.txt") == EXPECTED.splitlines(keepends=True)
    if bench.store == "rucio":
        names = bench.in_rucio()
        assert len(names) == len(set(names)) == len(SHARDS) + 1, names
    if bench.store == "toy":
        kept = [path for path in (bench.folder / "toy").rglob("*") if path.is_file()]
        assert len(kept) == len(SHARDS) + 1


@pytest.mark.parametrize("point", POINTS, ids=str)
@places(("local", "rucio"), ("dirac", "rucio"))
def test_a_client_that_ends_between_two_states(bench: Bench, point: Point) -> None:
    crash_and_resume(bench, point)


@places(("local", "local"), ("dirac", "local"), ("local", "toy"))
def test_clients_that_end_one_after_the_other_at_each_point(bench: Bench) -> None:
    crash_and_resume(bench, *(point for point in POINTS if point.when == "after"))


@pytest.mark.parametrize("point", AGAIN, ids=str)
@places(("dirac", "rucio"))
def test_a_client_that_ends_while_a_job_is_tried_again(bench: Bench, point: Point) -> None:
    bench.failing = SHARDS[1]
    crash_and_resume(bench, point)


@pytest.mark.parametrize("point", MOVING, ids=str)
@places(("local", "local"))
def test_a_client_that_ends_while_outputs_are_moved_and_working_copies_removed(bench: Bench, point: Call) -> None:
    crash_and_resume(bench, point)
    assert not list(bench.folder.glob("tmp-*"))
    assert not list((bench.folder / "out").glob(".gridcwl-*"))


@pytest.mark.parametrize("point", PUBLISHING, ids=str)
@places(("local", "toy"), ("local", "rucio"))
def test_a_client_that_ends_while_outputs_are_published(bench: Bench, point: Call) -> None:
    crash_and_resume(bench, point)


@places(("dirac", "local"))
def test_a_client_that_ends_while_it_submits_leaves_no_sandbox_elsewhere(
    bench: Bench, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    temporary = tmp_path / "temporary"
    temporary.mkdir()
    monkeypatch.setattr("tempfile.tempdir", str(temporary))
    crash_and_resume(bench, Call("after", "gridcwl.backends.dirac.sandbox", "write"))
    assert not list(temporary.glob("gridcwl-sandbox-*"))
