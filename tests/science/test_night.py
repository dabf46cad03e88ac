"""A night of subbands: no byte is moved twice, and `gridcwl plan` states the disk space of the jobs beforehand.

GRIDCWL_SUBBANDS=244 makes it a whole night (make test-night); through the testbed it has GRIDCWL_TESTBED_SUBBANDS.
"""

from __future__ import annotations

import json
import os
import re
from collections.abc import Callable
from contextlib import closing, nullcontext
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import pytest
from commandline import CommandResult, gridcwl
from dirac_in_memory import InMemoryDirac
from rucio_builders import fake_server

from gridcwl.backends.dirac import factory
from gridcwl.runs.record.history import History
from gridcwl.stores.rucio import client

from .conftest import CHECKOUT

if TYPE_CHECKING:
    from gridcwl.testbed.dirac.service import DiracService
    from gridcwl.testbed.rucio.service import RucioService

SUBBANDS = int(os.environ.get("GRIDCWL_SUBBANDS", "6"))
TESTBED_SUBBANDS = int(os.environ.get("GRIDCWL_TESTBED_SUBBANDS", "0"))
NIGHT = CHECKOUT / "tests" / "science" / "night.cwl"
TABLES = {"table.dat": 8_000, "table.f1": 2_000, "table.f4_TSM0": 30_000, "ANTENNA/table.dat": 4_000}
"""The files of a tiny Measurement Set, and their bytes."""
FEW = 2
"""Subbands of the run that the plan rests on."""
UNITS = {"bytes": 1, "kB": 1e3, "MB": 1e6, "GB": 1e9}

Command = Callable[..., CommandResult]


class Moved(NamedTuple):
    """What a job moved and held, in bytes."""

    step: str
    inputs: int
    fetched: int
    outputs: int
    written: int


def night(folder: Path, number: int) -> Path:
    """The input object of a night with so many subbands."""
    subbands = []
    for subband in range(number):
        ms = folder / f"SB{subband:03d}.MS"
        for name, size in TABLES.items():
            (ms / name).parent.mkdir(parents=True, exist_ok=True)
            (ms / name).write_bytes(bytes([subband % 251]) * size)
        subbands.append({"class": "Directory", "location": ms.as_uri()})
    path = folder / "night.json"
    path.write_text(json.dumps({"subbands": subbands}))
    return path


def moved(state: Path) -> list[Moved]:
    """The jobs of the newest run."""
    newest = max((state / "runs").iterdir(), key=lambda folder: folder.name)
    found = []
    with closing(History(newest / "journal.db")) as history:
        for row in history.jobs(where="outcome = 'success'"):
            result = history.result(row.row, row.attempt)
            usage = result.usage
            assert usage is not None
            staged = json.loads(history.description(row.row).own)["inputs"].values()
            read = sum(entry[2] for entry in staged if entry[0] == "file")
            outputs = sum(file.size for file in result.files if file.kind == "file")
            found.append(Moved(row.step, read, usage.fetched_bytes or 0, outputs, usage.disk_bytes or 0))
    return found


def planned(text: str) -> dict[str, float]:
    """The disk space of each step's largest job, as a plan states it."""
    stated = re.findall(r"^(\w+): jobs .*?^  disk       (?:up to )?([\d.]+) (\w+) for one job", text, re.M | re.S)
    return {step: float(number) * UNITS[unit] for step, number, unit in stated}


def a_night_is_moved_once_and_fits_its_plan(command: Command, folder: Path, number: int) -> list[Moved]:
    """A few subbands, a plan for all, and all of them."""
    state = folder / "state"
    few = command("--outdir", folder / "few", NIGHT, night(folder / "small", FEW))
    assert few.code == 0, few.stderr
    inputs = night(folder / "whole", number)
    plan = command("plan", NIGHT, inputs)
    stated = planned(plan.stdout)
    assert stated.keys() == {"flag", "average", "concat"}, plan.stdout + plan.stderr
    whole = command("--outdir", folder / "whole-out", NIGHT, inputs)
    assert whole.code == 0, whole.stderr
    jobs = moved(state)
    assert len(jobs) == 2 * number + 1
    assert (folder / "whole-out" / "band.ms" / "table.f4_TSM0").stat().st_size == number * TABLES["table.f4_TSM0"] // 2
    for step, space in stated.items():
        used = max(job.fetched + job.written for job in jobs if job.step == step)
        assert used == pytest.approx(space, rel=0.2), step
    for job in jobs:
        assert job.fetched <= job.inputs, job
        assert job.outputs <= job.written, job
    return jobs


@pytest.fixture
def faked(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Command:
    """The command with fakes of DIRAC and of Rucio."""
    dirac, rucio = InMemoryDirac(), fake_server(tmp_path / "rucio")
    monkeypatch.setattr(factory, "server_name", lambda _settings: "dirac-local")  # it polls often
    monkeypatch.setattr(factory, "open_server", lambda *_, **__: nullcontext(dirac))
    monkeypatch.setattr(client, "_real_client", lambda *_: rucio.client("runner"))

    def run(*words: object) -> CommandResult:
        grid = ("--state-dir", tmp_path / "state", "--backend", "dirac", "--store", "rucio", "--rucio-rse", "LYON-DISK")
        place = words[:1] if words[:1] == ("plan",) else ()
        return gridcwl(*map(str, (*place, *grid, *words[len(place) :])))

    return run


@pytest.mark.timeout(1800)
def test_a_night_of_subbands_is_moved_once_and_fits_its_plan(faked: Command, tmp_path: Path) -> None:
    jobs = a_night_is_moved_once_and_fits_its_plan(faked, tmp_path, SUBBANDS)
    stored = sum(file.stat().st_size for file in (tmp_path / "rucio" / "LYON-DISK").rglob("*") if file.is_file())
    inputs, made = sum(TABLES.values()), sum(job.outputs for job in jobs) // SUBBANDS
    assert stored <= (SUBBANDS + FEW) * (inputs + made), "something was stored twice"


@pytest.mark.dirac
@pytest.mark.rucio
@pytest.mark.timeout(1800)
@pytest.mark.skipif(not TESTBED_SUBBANDS, reason="takes minutes: make test-night")
def test_a_night_goes_through_a_real_dirac_and_rucio(
    dirac: DiracService, rucio: RucioService, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    for name, value in {**rucio.clients.exports("runner"), **dirac.exports()}.items():
        monkeypatch.setenv(name, value)

    def run(*words: Any) -> CommandResult:
        grid = ("--state-dir", tmp_path / "state", "--backend", "dirac", "--store", "rucio")
        place = words[:1] if words[:1] == ("plan",) else ()
        return gridcwl(*map(str, (*place, *grid, *words[len(place) :])))

    a_night_is_moved_once_and_fits_its_plan(run, tmp_path, TESTBED_SUBBANDS)
