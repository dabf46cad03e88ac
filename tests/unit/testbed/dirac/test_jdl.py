"""The fake reads job descriptions as DIRAC does, and makes the same jobs of a parametric one."""

from __future__ import annotations

import pytest

from gridcwl.testbed.fakes.jdl import BadJdl, expand, parameter_count, parse


def test_attributes_are_read_with_and_without_brackets():
    for text in ('[A = "x"; B = 3;]', 'A = "x";\nB = 3;\n'):
        assert (parse(text).text("A"), parse(text).number("B", 0)) == ("x", 3)


def test_a_list_is_a_list_and_a_text_is_a_list_of_one():
    job = parse('A = {"x", "y"}; B = "z";')
    assert (job.list("A"), job.list("B"), job.list("C")) == (("x", "y"), ("z",), ())


def test_comments_are_not_read():
    assert parse("# nothing\nA = 1;").number("A", 0) == 1


@pytest.mark.parametrize("text", ["", "A =", "nothing"])
def test_what_is_no_description_is_refused(text):
    with pytest.raises(BadJdl):
        parse(text)


def test_a_job_without_parameters_is_itself():
    job = parse("A = 1;")
    assert expand(job) == [job]


def test_numbers_are_as_wide_as_the_last_one():
    jobs = expand(parse('Name = "j%n"; Parameters = 11;'))
    assert [jobs[0].text("Name"), jobs[10].text("Name")] == ["j00", "j10"]


def test_a_sequence_has_start_step_and_factor():
    jobs = expand(parse('A = "%s"; Parameters = 3; ParameterStart = 2; ParameterStep = 1; ParameterFactor = 2;'))
    assert [job.text("A") for job in jobs] == ["2", "5", "11"]


def test_lists_of_different_lengths_are_refused():
    with pytest.raises(BadJdl, match="Different length"):
        parameter_count(parse('Parameters.A = {"1"}; Parameters.B = {"1","2"};'))


def test_it_makes_the_jobs_that_dirac_makes():
    dirac = pytest.importorskip("DIRACCommon.WorkloadManagementSystem.Utilities.ParametricJob")
    from DIRACCommon.Core.Utilities.ClassAd.ClassAdLight import ClassAd

    text = '[A = "%s-%(B)s-%n"; Parameters = {"x","y"}; Parameters.B = {"1","2"}; L = {"%s", "b"};]'
    theirs = [ClassAd(jdl).contents for jdl in dirac.generateParametricJobs(ClassAd(text))["Value"]]
    ours = [dict(job.attributes) for job in expand(parse(text))]
    assert [{k: v.replace(" ", "") for k, v in job.items()} for job in ours] == [
        {k: v.replace(" ", "") for k, v in job.items()} for job in theirs
    ]
