"""Commands that show what a backend has take a backend of another distribution as they take gridcwl's own."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import msgspec
import pytest
from commandline import gridcwl
from dask_processes import COMPILED

from gridcwl import plugins
from gridcwl.backends.base import BackendPlugin, QueueOffer, SiteOffer
from gridcwl.backends.nodes import NodeRequest
from gridcwl.backends.views import BatchJob, StepJobs, StepPlan
from gridcwl.cli.grid_commands import open_pending
from gridcwl.errors import BackendError
from gridcwl.model import JobId, RunId
from gridcwl.runs.options import GridOptions
from gridcwl.testing.backends import HooksSuite


class FarmSettings(msgspec.Struct, frozen=True, kw_only=True):
    """The table ``[farm]``."""

    url: str = "https://farm.example.org"


class Farm(ModuleType):
    """The module of a batch system's plugin."""

    def __init__(self) -> None:
        super().__init__("farm_backend")
        self.offered = [
            SiteOffer("Barn", (QueueOffer("long", 2.5, gpus=1),), storage=("BARN-DISK",)),
            SiteOffer("Field"),
        ]
        self.nodes: list[str] = []
        self.requests: list[NodeRequest] = []
        self.credential = True

    def sites(self, settings: FarmSettings) -> list[SiteOffer]:
        assert settings.url == "https://farm.example.org"
        return self.offered

    @contextmanager
    def open_batch_jobs(self, settings: FarmSettings, run: RunId) -> Iterator[FarmJobs]:
        assert settings.url == "https://farm.example.org"
        yield FarmJobs(run)

    @contextmanager
    def open_planner(self, settings: FarmSettings) -> Iterator[FarmPlanner]:
        assert settings.url == "https://farm.example.org"
        yield FarmPlanner()

    @contextmanager
    def open_pool_nodes(self, settings: FarmSettings) -> Iterator[FarmNodes]:
        assert settings.url == "https://farm.example.org"
        yield FarmNodes(self)


class FarmJobs:
    """Implements ``gridcwl.backends.views.BatchJobs``: the first job runs, and the second has ended."""

    def __init__(self, run: RunId) -> None:
        self.run = run

    def jobs(self) -> dict[JobId, BatchJob]:
        states = (BatchJob("a", "farm job a: runs in the barn", True), BatchJob("b", "farm job b: ended", False))
        return {JobId(f"{self.run}-1-{number}"): state for number, state in enumerate(states)}

    def texts(self, batch_job: str) -> dict[str, str]:
        return {"output so far": f"hello from {batch_job}"}


class FarmPlanner:
    """Implements ``gridcwl.backends.views.Planner``: the barn has one core, the field none."""

    language = "Farmish"
    outputs = "the farm's cellar"

    def plan(self, steps: Iterable[StepJobs]) -> Iterator[StepPlan]:
        for step in steps:
            cores = step.sample.resources.cores
            if cores > 4:
                yield StepPlan(problem="the farm has four cores")
                continue
            sites, excluded = (("Barn",), ()) if cores == 1 else ((), (("Barn", "it has one core"),))
            excluded += (("Field", "it has none"),)
            submissions, text = step.number, f"plough\n{len(step.jobs)}"
            yield StepPlan("", f"{cores:g} core(s)", sites, excluded, (3, 5), ("It rains.",), submissions, text)

    def credential(self) -> str:
        return "farmer, until the harvest"


class FarmNodes:
    """Implements ``gridcwl.backends.nodes.PoolHost``."""

    kind = "farm jobs"

    def __init__(self, farm: Farm) -> None:
        self._farm = farm

    def check(self) -> None:
        if not self._farm.credential:
            raise BackendError("The farm does not know you")

    def start_all(self, request: NodeRequest, first: int, count: int) -> Sequence[str]:
        if request.site == "full":
            raise BackendError("The farm is full")
        self._farm.requests.append(request)
        started = [f"{request.prefix}{number}" for number in range(first, first + count)]
        self._farm.nodes += started
        return started

    def end_all(self, nodes: Sequence[str]) -> None:
        self._farm.nodes = [node for node in self._farm.nodes if node not in nodes]


@pytest.fixture
def farm(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Farm:
    """An installed backend with all optional functions."""
    module = Farm()
    hooks = frozenset(name for name, value in vars(Farm).items() if not name.startswith("_") and callable(value))
    plugin = BackendPlugin(
        "farm",
        "a farm",
        "farm_backend",
        settings=FarmSettings,
        table="farm",
        title="The Farm",
        remote=True,
        hooks=hooks,
    )
    known = {**plugins.backends(), "farm": plugin}
    monkeypatch.setitem(sys.modules, "farm_backend", module)
    monkeypatch.setattr(plugins, "backends", lambda: known)
    monkeypatch.setattr(plugins, "declared", plugins.declared.__wrapped__)  # asked again: it is remembered otherwise
    monkeypatch.setenv("GRIDCWL_STATE_DIR", str(tmp_path / "state"))
    for name, value in COMPILED.items():  # for the pool's scheduler
        monkeypatch.setenv(name, value)
    return module


def test_the_nodes_of_a_pool_are_jobs_of_any_backend_that_offers_them(farm: Farm) -> None:
    assert plugins.backends_with("open_pool_nodes")[-1] == "farm"
    up = gridcwl("pool", "up", "--backend", "farm", "--workers", "2", "--host", "127.0.0.1", "--cores", "3")
    try:
        assert up.code == 0, up.stderr
        assert up.stdout.startswith("Pool default: 2 farm jobs submitted; they connect to 127.0.0.1:")
        assert farm.nodes == ["worker-1", "worker-2"]
        assert (farm.requests[0].cores, farm.requests[0].site) == (3, "")
        heading, row = gridcwl("pool", "ls").stdout.splitlines()
        assert "farm jobs" in heading
        assert row.split() == ["default", "0", "2", "3", "any"]
        assert gridcwl("pool", "scale", "--workers", "1").stdout == "Pool default: 1 more farm jobs submitted\n"
        assert farm.nodes == ["worker-1", "worker-2", "worker-3"]
    finally:
        down = gridcwl("pool", "down")
    assert (down.code, down.stdout, farm.nodes) == (0, "Pool default has ended\n", [])
    assert gridcwl("pool", "ls").stdout.count("\n") <= 1


def test_a_pool_that_cannot_start_leaves_nothing(farm: Farm) -> None:
    full = gridcwl("pool", "up", "--backend", "farm", "--site", "full", "--host", "127.0.0.1")
    assert full.code != 0
    assert "The farm is full" in full.stderr
    assert "There is no pool default" in gridcwl("pool", "down").stderr
    farm.credential = False
    assert "The farm does not know you" in gridcwl("pool", "up", "--backend", "farm").stderr
    assert "There is no pool default" in gridcwl("pool", "down").stderr


def test_a_backend_without_nodes_is_no_choice_for_a_pool() -> None:
    assert plugins.backends_with("open_pool_nodes") == ["dirac", "diracx"]
    assert "local is not one of dirac, diracx" in gridcwl("pool", "up", "--backend", "local").stderr


def test_sites_are_those_of_any_backend_that_has_some(farm: Farm, monkeypatch: pytest.MonkeyPatch) -> None:
    table = gridcwl("sites", "--backend", "farm")
    assert table.code == 0, table.stderr
    heading, barn, field = table.stdout.splitlines()
    assert heading.split()[:4] == ["site", "status", "queue", "processors"]
    assert barn.split() == ["Barn", "Active", "long", "2.5", "?", "?", "BARN-DISK"]
    assert field.split() == ["Field", "Active"]
    first, _ = gridcwl("sites", "--backend", "farm", "--json").outputs
    assert first["queues"] == [
        {
            **{"name": "long", "processors": 2.5, "ram_mib": None, "gpus": 1, "cpu_time_s": None},
            **{"tags": [], "required_tags": [], "platform": None},
        }
    ]
    monkeypatch.setenv("GRIDCWL_BACKEND", "farm")
    assert gridcwl("sites").stdout == table.stdout, "the configured backend is the default"
    farm.offered = []
    gridcwl("sites").assert_one_error(1, "The Farm names no sites")


@pytest.mark.usefixtures("farm")
def test_logs_show_what_the_batch_system_of_a_run_has_of_its_jobs() -> None:
    folder: Any = SimpleNamespace(run=RunId("20260102-030405-abcdef"))
    with open_pending(GridOptions("farm", FarmSettings()), folder) as pending:
        rows: list[Any] = [SimpleNamespace(job=f"{folder.run}-1-{number}") for number in range(3)]
        assert pending.of(rows[0]) == ("farm job a: runs in the barn", [("output so far", "hello from a")])
        assert pending.of(rows[1])[0] == "farm job b: ended"
        assert pending.of(rows[2]) == ("", [])
        assert (pending.idle, pending.title) == (False, "The Farm")
    with open_pending(GridOptions(), folder) as nothing:
        assert (nothing.of(rows[0]), nothing.idle, nothing.title) == (("", []), True, "")


def tool(folder: Path, cores: int) -> str:
    needs = {"ResourceRequirement": {"coresMin": cores}}
    empty: dict[str, Any] = {"inputs": {}, "outputs": {}}
    document = {"cwlVersion": "v1.2", "class": "CommandLineTool", "baseCommand": "true", "requirements": needs, **empty}
    path = folder / f"tool{cores}.cwl"
    path.write_text(json.dumps(document))
    return str(path)


@pytest.mark.usefixtures("farm")
def test_a_plan_is_that_of_any_backend_that_has_sites(tmp_path: Path) -> None:
    planned = gridcwl("plan", "--backend", "farm", tool(tmp_path, 1))
    assert (planned.code, planned.stdout) == (
        0,
        f"""\
tool1.cwl: jobs 1
  input      0 bytes in all, at most 0 for one job
  disk       {planned.stdout.partition("disk       ")[2].partition(chr(10))[0]}
  asks for   1 core(s)
  sites      Barn
  to move    3 to 5 bytes in all, depending on the site
  not at     Field: it has none
  not so     It rains.
  calls      1 submission(s)
  Farmish    plough
             1

outputs      the farm's cellar, then this machine: for small files only; use --store rucio for larger ones
credential   farmer, until the harvest
""",
    ), planned.stderr
    nowhere = gridcwl("plan", "--backend", "farm", tool(tmp_path, 2))
    assert nowhere.code == 1
    assert "  sites      none: not at     Barn: it has one core\n" in nowhere.stdout
    refused = gridcwl("plan", "--backend", "farm", tool(tmp_path, 8))
    assert refused.code == 1
    assert refused.stdout.partition("\n\n")[0].endswith("  sites      none: the farm has four cores")


@pytest.mark.parametrize("name", ["local", "dask", "dirac", "diracx", "pool"])
class TestHooks(HooksSuite):
    @pytest.fixture
    def plugin(self, name: str) -> BackendPlugin:
        return plugins.backend(name)


def test_a_hook_that_the_module_lacks_is_found() -> None:
    lacking = BackendPlugin("x", "x", "gridcwl.backends.local.factory", hooks=frozenset({"sites"}))
    with pytest.raises(AssertionError, match="has no function sites"):
        HooksSuite().test_each_hook_is_a_function_of_the_module_and_takes_what_it_is_given(lacking)
    unknown = BackendPlugin("x", "x", "gridcwl.backends.local.factory", hooks=frozenset({"open_backend"}))
    with pytest.raises(AssertionError, match="is no hook"):
        HooksSuite().test_each_hook_is_a_function_of_the_module_and_takes_what_it_is_given(unknown)
