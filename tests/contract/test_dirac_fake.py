"""The fake DIRAC keeps the contract; and what only a fake can do."""

from __future__ import annotations

import datetime
import os
from pathlib import Path

import psutil
import pytest
from dirac_suite import DiracContract

from gridcwl.testbed.fakes.dirac import FakeDirac
from gridcwl.testbed.sites import Site


@pytest.fixture
def dirac(tmp_path: Path):
    with FakeDirac(tmp_path / "fake") as fake:
        yield fake


class TestFakeDirac(DiracContract):
    @pytest.fixture
    def clients(self, tmp_path: Path):
        with FakeDirac(tmp_path / "fake") as fake:
            yield fake


def test_nothing_is_answered_on_request(dirac):
    dirac.answers = False
    assert "Failed to connect" in dirac.monitoring().getJobsStates([1])["Message"]
    assert "Failed to connect" in dirac.sandboxes().uploadFilesAsSandbox(["x"])["Message"]
    assert not dirac.wms().submitJob('Executable = "/bin/true";')["OK"]
    dirac.answers = True
    assert dirac.wms().submitJob('Executable = "/bin/true";')["OK"]


def test_a_proxy_expires_on_request(dirac):
    dirac.proxy_ends = datetime.datetime.now(datetime.UTC)
    assert dirac.proxy_info()["Value"]["secondsLeft"] == 0


def test_a_site_runs_no_more_jobs_than_it_has_processors(tmp_path):
    small = Site("LCG.Small.xy", "SMALL", "posix", processors=2, ram_mb=1000)
    with FakeDirac(tmp_path, sites=[small]) as fake:
        jobs = fake.wms().submitJob('Executable = "/bin/sleep"; Arguments = "100"; Parameters = 5;')["Value"]
        states = fake.monitoring().getJobsStates(jobs)["Value"]
        assert sorted(state["Status"] for state in states.values()) == ["Running"] * 2 + ["Waiting"] * 3


def test_a_job_does_not_come_back_more_than_three_times(dirac):
    job = dirac.wms().submitJob('Executable = "/bin/false";')["Value"]
    for _ in range(4):
        assert dirac.wait([job])
        dirac.wms().rescheduleJob(job)
    assert dirac.monitoring().getJobAttributes(job)["Value"]["MinorStatus"] == "Maximum of reschedulings reached"


def test_nothing_runs_any_more_when_it_is_closed(tmp_path):
    witness = tmp_path / "pid"
    with FakeDirac(tmp_path / "fake") as fake:
        script = tmp_path / "run.sh"
        script.write_text(f"#!/bin/sh\necho $$ > {witness}.new\nmv {witness}.new {witness}\nexec sleep 1000\n")
        fake.wms().submitJob(f'Executable = "{script}";')
        while not witness.exists():
            os.sched_yield()
    pid = int(witness.read_text())
    while psutil.pid_exists(pid) and psutil.Process(pid).status() != psutil.STATUS_ZOMBIE:
        os.sched_yield()


def test_five_hundred_jobs_take_seconds(dirac):
    jobs = dirac.wms().submitJob('Executable = "/bin/true"; Parameters = 500;')["Value"]
    assert dirac.wait(jobs, within_s=60)
    assert {state["Status"] for state in dirac.monitoring().getJobsStates(jobs)["Value"].values()} == {"Done"}
