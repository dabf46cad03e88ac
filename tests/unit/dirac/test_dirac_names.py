"""What jobs are called at DIRAC, and back."""

from __future__ import annotations

from dataclasses import replace

import pytest
from dirac_builders import RUN, a_job
from hypothesis import given
from hypothesis import strategies as st

from gridcwl.backends.batch import names
from gridcwl.errors import BackendError


def test_a_job_is_called_by_its_id():
    assert names.name_of([a_job(17)]) == f"{RUN}-1-17"


def test_a_later_attempt_reports_which():
    assert names.name_of([replace(a_job(17), attempt=3)]) == f"{RUN}-1-17.3"


def test_several_jobs_share_a_name_that_lists_them():
    assert names.name_of([a_job(n) for n in (17, 18, 19, 25)]) == f"{RUN}-1-17:19_25"


@given(st.sets(st.integers(0, 10**6), min_size=1, max_size=30), st.integers(1, 9))
def test_a_name_gives_back_the_jobs_that_it_was_made_of(numbers, attempt):
    jobs = [replace(a_job(number), attempt=attempt) for number in sorted(numbers)]
    kept = names.jobs_in_name(names.name_of(jobs), RUN)
    assert kept == (tuple(job.id for job in jobs), attempt)


@pytest.mark.parametrize("name", ["Unknown", f"{RUN}", f"{RUN}-1-", "20260102-030405-fedcba-1-17", f"{RUN}-1-17:x"])
def test_names_of_others_mean_nothing(name):
    assert names.jobs_in_name(name, RUN) is None


def test_an_id_without_a_number_is_refused():
    with pytest.raises(BackendError, match="cannot name a batch job"):
        names.split("nothing")
