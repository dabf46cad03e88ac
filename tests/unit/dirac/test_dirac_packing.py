"""Which jobs share a DIRAC job, and in which order they come."""

from __future__ import annotations

import pytest
from dirac_builders import a_job

from gridcwl.backends.batch import packing
from gridcwl.backends.dirac import matching
from gridcwl.backends.dirac.matching import JobRequirements, Limits
from gridcwl.backends.dirac.sites import DiracSite, Queue
from gridcwl.model import Job, JobResult, Outcome, Resources, StagedFile, Usage


def reading(number: int, size: int, **fields: object) -> Job:
    return a_job(number, staged=(StagedFile("/in/x", "file", ("https://se/x",), size=size),), **fields)


def took(durations: packing.Durations, job: Job, seconds: float) -> None:
    durations.add(job, JobResult(job.id, Outcome.SUCCESS, usage=Usage("", seconds)))


def numbers(parts: list[packing.BatchPart]) -> list[list[int]]:
    return [[int(job.id.rpartition("-")[2]) for job in part.jobs] for part in parts]


def test_short_jobs_are_packed_by_what_their_kind_took_before():
    durations = packing.Durations()
    assert durations.expected([a_job(1)]) == [60]
    took(durations, a_job(1), 2.0)
    took(durations, a_job(1), 4.0)
    assert durations.expected([a_job(2), a_job(3, name="other")]) == [3.0, 60]
    assert packing.size_of("auto", 3.0, waiting=1000, slots=10) == 50
    assert packing.size_of("auto", 3.0, waiting=20, slots=10) == 2
    assert packing.size_of("auto", 3600, waiting=1000, slots=10) == 1


def test_a_time_limit_is_a_guess_at_the_time():
    assert packing.Durations().expected([a_job(resources=Resources(time_limit_s=5))]) == [5]


def test_of_jobs_that_nothing_is_known_of_those_that_read_more_are_expected_to_take_longer():
    small, large = packing.Durations().expected([reading(1, 100), reading(2, 300)])
    assert (small, large) == (30, 90)


def test_what_a_step_s_jobs_took_goes_with_the_size_of_their_inputs():
    durations = packing.Durations()
    took(durations, reading(1, 1000), 10)
    assert durations.expected([reading(2, 500), reading(3, 2000), reading(4, 10**9)]) == [5, 20, 100]


def test_parts_hold_every_job_once_and_have_names_that_dirac_keeps():
    jobs = [a_job(number * 1000) for number in range(1, 101)]
    for times in ([60.0] * 100, [float(number) for number in range(1, 101)]):
        parts = packing.parts(jobs, 40, 2, times, longest_name=128)
        assert sorted(job.id for part in parts for job in part.jobs) == sorted(job.id for job in jobs)
        assert all(len(f"{jobs[0].run}-1-{part.span}") <= 128 for part in parts)
        assert all(len(part.jobs) <= 40 for part in parts)


def test_jobs_of_about_the_same_time_stay_in_their_order():
    jobs = [a_job(number) for number in (3, 1, 2, 5, 4)]
    assert numbers(packing.parts(jobs, 2, 1, [10, 12, 11, 10, 10], longest_name=128)) == [[1, 2], [3, 4], [5]]


def test_long_jobs_come_first_and_each_part_has_as_much_to_do():
    jobs = [a_job(number) for number in range(1, 7)]
    assert numbers(packing.parts(jobs, 3, 1, [10, 60, 20, 50, 30, 40], longest_name=128)) == [[2, 5, 3], [4, 6, 1]]


@pytest.mark.parametrize("size", [2, 7, 50])
def test_no_part_takes_much_longer_than_its_share(size):
    jobs = [a_job(number) for number in range(1, 301)]
    times = [5.0 + (number * 37) % 100 for number in range(300)]
    parts = packing.parts(jobs, size, 1, times, longest_name=128)
    of = dict(zip([job.id for job in jobs], times, strict=True))
    loads = [sum(of[job.id] for job in part.jobs) for part in parts]
    assert all([of[j.id] for j in part.jobs] == sorted((of[j.id] for j in part.jobs), reverse=True) for part in parts)
    assert max(loads) <= sum(times) / len(parts) + max(times)


# -- what a DIRAC job needs for several --------------------------------------------------------------------------------

LARGE = DiracSite("Lyon", (Queue("q", 8, 16_000, 36_000),))
SMALL = DiracSite("CNAF", (Queue("q", 2, 4_000, 36_000),))


def test_jobs_share_as_many_cores_as_every_site_that_can_run_one_has():
    assert matching.room_for(JobRequirements(), 1000, [LARGE]).side_by_side == 8
    assert matching.room_for(JobRequirements(), 1000, [LARGE, SMALL]).side_by_side == 2
    assert matching.room_for(JobRequirements(processors=4), 1000, [LARGE, SMALL]).side_by_side == 2
    assert matching.room_for(JobRequirements(), 4000, [LARGE]).side_by_side == 4
    assert matching.room_for(JobRequirements(), 1000, []).side_by_side == 1


def test_several_jobs_ask_for_the_cores_memory_and_time_of_all():
    needs = JobRequirements(ram_mib=3000, cpu_time_s=600)
    size, asked = matching.together(needs, 20, matching.room_for(needs, 3000, [LARGE]), Limits())
    assert (size, asked.processors, asked.ram_mib, asked.cpu_time_s) == (20, 5, 15_000, 12_000)
    assert asked.more_processors


def test_no_more_jobs_share_a_dirac_job_than_the_sites_have_time_for():
    needs = JobRequirements(cpu_time_s=10_000)
    size, asked = matching.together(needs, 20, matching.room_for(needs, 100, [LARGE]), Limits())
    assert (size, asked.cpu_time_s) == (3, 30_000)
