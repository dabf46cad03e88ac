"""What DIRAC's server would make of a parametric description, made here."""

from __future__ import annotations

import pytest

from gridcwl.backends.dirac import jdl
from gridcwl.backends.dirac.matching import JobRequirements
from gridcwl.backends.dirac.parametric import cut, singles, value, values, with_list

RUN = "20260102-030405-abcdef"


def batch(*spans: str, suffix: str = "") -> str:
    return jdl.text(jdl.Batch(RUN, f"{RUN}-1-", spans, suffix, JobRequirements(2), "SB:SE|/S3/a/b"))


@pytest.mark.parametrize("spans", [("7", "8", "9"), ("7", "9"), ("1:20", "21_25"), ("5",)])
def test_each_job_gets_its_own_name_and_argument(spans):
    made = singles(batch(*spans, suffix=".2"))
    assert [value(each, "JobName") for each in made] == [f"{RUN}-1-{span}.2" for span in spans]
    assert [value(each, "Arguments") for each in made] == [f"gridcwl-start.sh {span}" for span in spans]
    assert not any("Parameter" in each for each in made)


def test_what_they_have_in_common_stays():
    (made,) = singles(batch("5"))
    assert value(made, "JobGroup") == RUN
    assert value(made, "NumberOfProcessors") == "2"
    assert value(made, "Site") is None
    assert values(made, "InputSandbox") == ["SB:SE|/S3/a/b"]
    assert values(made, "OutputSandbox") == [jdl.STDOUT, jdl.STDERR, jdl.RESULTS]


@pytest.mark.parametrize("spans", [tuple(str(number) for number in range(3, 48)), ("1:20", "21_25", "30")])
def test_a_description_is_cut_into_pieces_that_are_the_same_jobs_in_the_same_order(spans):
    whole = batch(*spans)
    pieces = cut(whole, 20)
    assert [len(singles(piece)) for piece in pieces] == ([20, 20, 5] if len(spans) == 45 else [3])
    made = [job for piece in pieces for job in singles(piece)]
    assert [value(job, "JobName") for job in made] == [value(job, "JobName") for job in singles(whole)]
    assert {value(job, "InputSandbox") for job in made} == {value(whole, "InputSandbox")}


def test_a_description_without_parameters_is_one_job():
    text = '[\nExecutable = "/bin/sh";\n]'
    assert singles(text) == [text]


def test_a_list_is_put_in_the_place_of_another():
    (made,) = singles(batch("5"))
    assert values(with_list(made, "InputSandbox", ["a", "b c"]), "InputSandbox") == ["a", "b c"]


def test_dirac_makes_the_same_of_it():
    pytest.importorskip("DIRACCommon")
    from DIRACCommon.Core.Utilities.ClassAd.ClassAdLight import ClassAd
    from DIRACCommon.WorkloadManagementSystem.Utilities.ParametricJob import generateParametricJobs

    for spans in (("7", "8", "9"), ("1:20", "21_25")):
        answer = generateParametricJobs(ClassAd(batch(*spans)))
        assert answer["OK"]
        theirs = [ClassAd(text) for text in answer["Value"]]
        ours = [ClassAd(text) for text in singles(batch(*spans))]
        for name in ("JobName", "Arguments", "JobGroup"):
            assert [ad.getAttributeString(name) for ad in theirs] == [ad.getAttributeString(name) for ad in ours]
