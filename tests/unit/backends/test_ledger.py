"""What the machine has, given out to jobs and taken back."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gridcwl.backends.local.machine import Ledger, this_machine
from gridcwl.errors import ResourcesExceeded
from gridcwl.model import Job, JobId, Resources, RunId


def job(cores=1.0, ram_mib=1, gpus=0):
    return Job(JobId("1"), RunId("r"), "job", ("true",), resources=Resources(cores=cores, ram_mib=ram_mib, gpus=gpus))


@pytest.mark.parametrize("need", [{"cores": 3}, {"ram_mib": 101}, {"gpus": 1}])
def test_a_job_that_could_never_start_is_refused(need):
    with pytest.raises(ResourcesExceeded, match=r"job asks for .*, but this machine has"):
        Ledger(2, 100, 0).refuse_giants(job(**need))


def test_a_job_as_large_as_the_machine_is_not():
    ledger = Ledger(2, 100, 1)
    ledger.refuse_giants(job(2, 100, 1))
    assert ledger.take(job(2, 100, 1))


@pytest.mark.parametrize("need", [{"cores": 2}, {"ram_mib": 100}, {"gpus": 1}])
def test_what_is_given_out_is_not_given_again_until_it_comes_back(need):
    ledger = Ledger(2, 100, 1)
    assert ledger.take(job(**need))
    assert not ledger.take(job(**need))
    ledger.give_back(job(**need))
    assert ledger.take(job(**need))


def test_a_job_that_does_not_fit_takes_nothing():
    ledger = Ledger(2, 100, 0)
    assert not ledger.take(job(1, 101))
    assert (ledger.free_cores, ledger.free_ram_mib) == (2, 100)


@given(st.lists(st.tuples(st.integers(0, 3), st.integers(0, 60)), max_size=20))
def test_no_more_is_given_out_than_there_is(needs):
    ledger = Ledger(4, 100, 0)
    taken = [need for need in needs if ledger.take(job(*need))]
    assert sum(cores for cores, _ in taken) <= 4
    assert sum(ram for _, ram in taken) <= 100
    for need in taken:
        ledger.give_back(job(*need))
    assert (ledger.free_cores, ledger.free_ram_mib) == (4, 100)


def test_this_machine_has_something():
    ledger = this_machine()
    assert ledger.cores >= 1
    assert ledger.ram_mib >= 128
