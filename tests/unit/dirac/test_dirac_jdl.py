"""Descriptions in DIRAC's language, read back by DIRAC's own parser where it is installed."""

from __future__ import annotations

import re

import pytest
from dirac_builders import RUN

from gridcwl.backends.dirac.jdl import Batch, text
from gridcwl.backends.dirac.matching import JobRequirements
from gridcwl.errors import ConfigError


def described(*spans: str, **needs: object) -> str:
    return text(Batch(RUN, f"{RUN}-1-", spans or ("1",), "", JobRequirements(**needs), "SB:Box|/a/b.tar.bz2"))


def test_consecutive_jobs_are_counted_and_not_listed():
    message = described("17", "18", "19")
    assert "Parameters = 3;\nParameterStart = 17;\nParameterStep = 1;" in message


def test_others_are_listed():
    assert 'Parameters = {"17:19", "25"};' in described("17:19", "25")


def test_only_what_is_requested_is_in_it():
    message = described()
    for name in ("NumberOfProcessors", "MinRAM", "CPUTime", "Tags", "Site", "BannedSites", "Priority", "JobType"):
        assert name not in message


def test_requirements_are_in_dirac_s_terms():
    message = described(
        processors=4, ram_mib=8000, cpu_time_s=3600, tags=("GPU", "SSD"), sites=("LCG.Lyon.fr",), priority=0,
        job_type="Test",
    )  # fmt: skip
    for line in (
        "NumberOfProcessors = 4;", "MinRAM = 8000;", "CPUTime = 3600;", 'Tags = {"GPU", "SSD"};',
        'Site = {"LCG.Lyon.fr"};', "Priority = 0;", 'JobType = "Test";',
    ):  # fmt: skip
        assert line in message


def test_more_processors_than_asked_for_are_welcome_to_packed_jobs():
    assert "MinNumberOfProcessors = 4;" in described(processors=4, more_processors=True)


def test_arguments_hold_nothing_but_our_script_and_the_part():
    assert re.findall(r"Arguments = (.*);", described()) == ['"gridcwl-start.sh %s"']


@pytest.mark.parametrize("name", ['a"b', "a;b", "{a}", "a%sb", "a\nb", "", " a"])
def test_names_that_would_be_read_as_something_else_are_refused(name):
    with pytest.raises(ConfigError, match="does not accept the name"):
        described(tags=(name,))


@pytest.mark.parametrize("spans", [("17", "18"), ("3", "9"), ("1:5", "7_9")])
def test_dirac_makes_of_it_what_was_meant(spans):
    pytest.importorskip("DIRACCommon")
    from DIRACCommon.Core.Utilities.ClassAd.ClassAdLight import ClassAd
    from DIRACCommon.WorkloadManagementSystem.Utilities.ParametricJob import generateParametricJobs

    made = generateParametricJobs(ClassAd(described(*spans, sites=("LCG.Lyon.fr", "LCG.CNAF.it"), processors=2)))
    assert made["OK"], made
    jobs = [ClassAd(one) for one in made["Value"]]
    assert [job.getAttributeString("JobName") for job in jobs] == [f"{RUN}-1-{span}" for span in spans]
    assert [job.getAttributeString("Arguments") for job in jobs] == [f"gridcwl-start.sh {span}" for span in spans]
    assert all(job.getListFromExpression("Site") == ["LCG.Lyon.fr", "LCG.CNAF.it"] for job in jobs)
    assert all(job.getListFromExpression("InputSandbox") == ["SB:Box|/a/b.tar.bz2"] for job in jobs)
    assert all(job.getAttributeInt("NumberOfProcessors") == 2 for job in jobs)
