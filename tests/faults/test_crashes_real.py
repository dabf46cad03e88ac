"""Some of ``test_crashes.py`` with a real DIRAC and a real Rucio: a client ends at a point, and the run is resumed."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from crashes import CRASHED, DOCUMENT, SHARDS, Backend, Bench, Point

from gridcwl.runs.lifecycle import Transition

pytestmark = pytest.mark.timeout(600)

EXPECTED = "".join(f"made by {number}\n" for number in SHARDS)


def crash_and_resume(bench: Bench, exports: dict[str, str], client: Any, point: Point) -> None:
    """The outputs are complete, nothing that was recorded runs again, and Rucio has each file once and in full."""
    (bench.folder / "wf.cwl").write_text(json.dumps(DOCUMENT))
    environment = {name: value for name, value in os.environ.items() if not name.startswith("GRIDCWL_")} | exports
    crashed = bench.run_outside(environment, point)
    assert crashed.returncode == CRASHED, crashed.stderr
    before = bench.starts()
    recorded = {name: before[name] for name in bench.recorded()}
    resumed = bench.run_outside(environment, resume=True)
    assert resumed.returncode == 0, resumed.stderr
    starts = bench.starts()
    assert {name: starts[name] for name in recorded} == recorded == dict.fromkeys(recorded, 1)
    if bench.backend == "dirac":
        assert starts == dict.fromkeys([*SHARDS, "join"], 1)
    assert bench.outputs()["all.txt"] == EXPECTED
    (run,) = (path.name for path in (bench.folder / "state" / "runs").iterdir())
    names = list(client.list_dids("user.runner", [{"name": f"{run}.*"}], did_type="file"))
    assert len(names) == len(set(names)) == len(SHARDS) + 1
    for replica in client.list_replicas([{"scope": "user.runner", "name": name} for name in names]):
        assert list(replica["states"].values()) == ["AVAILABLE"]


@pytest.mark.parametrize("point", [Point("after", Transition.FINISH), Point("before", Transition.COMMIT)], ids=str)
def test_a_client_of_rucio_that_ends_between_two_states(
    rucio: Any, log_in: Callable[..., Any], tmp_path: Path, point: Point
) -> None:
    place: Backend = "local"
    crash_and_resume(Bench(tmp_path, place, "rucio"), rucio.clients.exports("runner"), log_in("runner"), point)


@pytest.mark.parametrize(
    "point",
    [Point("after", Transition.START), Point("after", Transition.FINISH), Point("before", Transition.COMMIT)],
    ids=str,
)
def test_a_client_of_dirac_and_rucio_that_ends_between_two_states(
    dirac: Any, rucio: Any, log_in: Callable[..., Any], tmp_path: Path, point: Point
) -> None:
    exports = {**rucio.clients.exports("runner"), **dirac.exports()}
    crash_and_resume(Bench(tmp_path, "dirac", "rucio"), exports, log_in("runner"), point)
