"""What a document asks of a machine is known before anything runs, where it is known at all."""

from __future__ import annotations

import pytest
from documents import step, tool, workflow

from gridcwl.cwl.demands import demands, refuse_giants
from gridcwl.errors import ResourcesExceeded
from gridcwl.model import Resources


def asks(**wanted):
    return tool("true", inputs={"number": "int?"}, requirements={"ResourceRequirement": wanted})


def found(bench, document, **inputs):
    return [tuple(demand)[:3] for demand in demands(bench.open(document).graph, inputs)]


def test_plain_numbers_are_known(bench):
    assert found(bench, asks(coresMin=3, ramMax=512)) == [("doc.cwl", 3.0, 512)]


def test_what_an_expression_gives_is_not(bench):
    assert found(bench, asks(coresMin="$(inputs.number)")) == [("doc.cwl", 0.0, 0)]


def test_steps_are_named_by_their_path(bench):
    inner = workflow({}, {}, deep=step(asks(coresMin=2)))
    assert found(bench, workflow({}, {}, sub=step(inner))) == [("sub/deep", 2.0, 0)]


def test_a_step_under_a_condition_may_never_run(bench):
    assert found(bench, workflow({}, {}, may=step(asks(coresMin=2), when="$(false)"))) == []


@pytest.mark.parametrize(("numbers", "count"), [([], 0), ([1], 1)])
def test_a_scatter_counts_where_there_is_something_to_scatter(bench, numbers, count):
    document = workflow({"numbers": "int[]"}, {}, many=step(asks(coresMin=2), scatter="number", number="numbers"))
    assert len(found(bench, document, numbers=numbers)) == count


@pytest.mark.parametrize(
    ("wanted", "words"), [({"coresMin": 5}, "5 cores, .* has 4"), ({"ramMin": 2000}, "2000 MiB .* has 1000 MiB")]
)
def test_what_is_too_large_is_refused_by_name(bench, wanted, words):
    with pytest.raises(ResourcesExceeded, match=f"doc.cwl asks for {words}"):
        refuse_giants(bench.open(asks(**wanted)).graph, {}, Resources(cores=4, ram_mib=1000))


def test_gpus_that_are_not_there_are_refused_with_their_own_remedy(bench):
    cuda = {"cudaVersionMin": "11.0", "cudaComputeCapability": "5.0", "cudaDeviceCountMin": 2}
    document = tool("true", requirements={"cwltool:CUDARequirement": cuda})
    document["$namespaces"] = {"cwltool": "http://commonwl.org/cwltool#"}

    with pytest.raises(
        ResourcesExceeded, match=r"2 GPU\(s\), but this machine has 1\nLower the tool's CUDARequirement"
    ):
        refuse_giants(bench.open(document).graph, {}, Resources(cores=4, ram_mib=1000, gpus=1))


def test_where_only_the_server_knows_nothing_is_refused(bench):
    refuse_giants(bench.open(asks(coresMin=10**6)).graph, {}, None)
