"""ResourceRequirement: limits that make no sense are refused; hints give way to what there is."""

from __future__ import annotations

from typing import Any

import pytest
from documents import step, tool, workflow

from gridcwl.cwl.demands import refuse_giants
from gridcwl.errors import DocumentError, ResourcesExceeded
from gridcwl.model import Resources

SMALL = Resources(cores=2, ram_mib=1000)


def asking(section="requirements", **limits):
    return tool("true", **{section: {"ResourceRequirement": limits, "InlineJavascriptRequirement": {}}})


@pytest.mark.parametrize("section", ["requirements", "hints"])
@pytest.mark.parametrize(
    ("limits", "words"),
    [
        ({"coresMin": 2, "coresMax": 1}, "coresMin is 2, but coresMax is only 1"),
        ({"coresMin": -1}, "coresMin is -1, which is less than 0"),
        ({"ramMax": -5}, "ramMax is -5"),
        ({"tmpdirMin": 20, "tmpdirMax": 10}, "tmpdirMin is 20"),
        ({"outdirMin": -1.5}, "outdirMin is -1.5"),
    ],
)
def test_limits_that_make_no_sense_are_refused_with_field_and_line(bench, section, limits, words):
    with pytest.raises(DocumentError, match=rf"doc\.cwl:\d+:\d+: {words}"):
        bench.open(asking(section, **limits))


def test_limits_of_a_step_are_checked(bench):
    one = step(tool("true")) | {"requirements": {"ResourceRequirement": {"coresMin": -3}}}
    with pytest.raises(DocumentError, match="coresMin is -3"):
        bench.open(workflow({}, {}, one=one))


@pytest.mark.node
@pytest.mark.parametrize(
    ("limits", "words"),
    [
        ({"coresMin": "$('two')"}, "coresMin of its ResourceRequirement is 'two', which is not a number"),
        ({"ramMin": "$(1 - 2)"}, "ramMin of its ResourceRequirement is -1"),
        ({"ramMax": "$([1])"}, "Got incorrect return type|ramMin"),
        ({"coresMin": "$(3)", "coresMax": "$(2)"}, "coresMin of its ResourceRequirement is 3, but coresMax is only 2"),
        ({"outdirMin": "$(true)"}, "outdirMin|True"),
    ],
)
def test_expressions_that_give_no_limit_are_refused_with_the_field(bench, limits, words):
    with pytest.raises(DocumentError, match=words):
        bench.resolve(asking(**limits))


def resolved_on(bench, place, document, **options):
    session = bench.open(document, **options)
    session.context.largest = place
    refuse_giants(session.graph, {}, place, cap=session.context.cap_resources)
    from gridcwl.cwl.tool import resolve
    from gridcwl.model import JobId, RunId

    ids: dict[str, Any] = {"job_id": JobId("j-1"), "run": RunId("r"), "name": "t", "toplevel": True}
    return resolve(session.graph.handle, session.inputs(), session.context, **ids).job


def test_a_hint_that_cannot_be_met_warns_once_and_gets_what_there_is(bench, caplog):
    document = asking("hints", coresMin=4000, ramMin=5000) | {"arguments": ["$(runtime.cores)"]}
    job = resolved_on(bench, SMALL, document)
    assert (job.resources.cores, job.resources.ram_mib) == (2, 1000)
    assert job.command[-1] == "2"
    assert caplog.messages[-1:] == ["doc.cwl asks for 4000 cores, and gets 2; for 5000 MiB of memory, and gets 1000"]


def test_a_requirement_that_cannot_be_met_is_refused_unless_it_is_capped(bench):
    with pytest.raises(ResourcesExceeded, match="4000 cores"):
        resolved_on(bench, SMALL, asking(coresMin=4000))
    assert resolved_on(bench, SMALL, asking(coresMin=4000), cap_resources=True).resources.cores == 2
