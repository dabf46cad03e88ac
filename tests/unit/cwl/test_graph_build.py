"""cwltool's processes as the engine's graph."""

from __future__ import annotations

import pytest
from documents import ECHO, expression, step, tool, workflow

from gridcwl.engine.graph import MISSING, Leaf, Workflow
from gridcwl.errors import DocumentError, UnsupportedError


def sink(graph, name):
    (found,) = [sink for step in graph.steps for sink in step.sinks if sink.id == name]
    return found


def test_a_tool_is_a_leaf(bench):
    graph = bench.open(ECHO).graph
    assert (type(graph), graph.kind, graph.id) == (Leaf, "tool", "doc.cwl")


def test_an_expression_tool_is_a_leaf_of_its_own_kind(bench):
    assert bench.open(expression("$({})", {}, {})).graph.kind == "expression"


def test_links_are_names_in_the_workflow_s_scope(bench):
    copy = tool("cat", inputs={"file": "File"}, outputs={"copy": "stdout"})
    outputs = {"all": {"type": "File", "outputSource": "two/copy"}}
    steps = {"one": step(ECHO, "said", text="text"), "two": step(copy, "copy", file="one/said")}
    graph = bench.open(workflow({"text": "string"}, outputs, **steps)).graph
    assert isinstance(graph, Workflow)
    assert graph.inputs == ("text",)
    assert (sink(graph, "text").sources, sink(graph, "file").sources) == (("text",), ("one/said",))
    assert graph.outputs[0].sources == ("two/copy",)


def test_a_sub_workflow_is_a_graph_in_the_graph(bench):
    inner = workflow({"text": "string"}, {}, say=step(ECHO, "said", text="text"))
    graph = bench.open(workflow({"text": "string"}, {}, sub=step(inner, text="text"))).graph
    assert graph.steps[0].run.steps[0].id == "say"


def test_scatter_names_its_inputs_by_their_short_names(bench):
    graph = bench.open(workflow({"ts": "string[]"}, {}, say=step(ECHO, "said", scatter="text", text="ts"))).graph
    assert (graph.steps[0].scatter, graph.steps[0].method) == (("text",), "dotproduct")


def test_defaults_value_from_and_when_are_kept(bench):
    links = {"text": {"source": "text", "default": "d", "valueFrom": "$(self)!"}}
    graph = bench.open(workflow({"text": "string?"}, {}, say=step(ECHO, "said", when="$(true)", **links))).graph
    found = sink(graph, "text")
    assert (found.default, str(found.value_from), str(graph.steps[0].when)) == ("d", "$(self)!", "$(true)")


def test_without_a_default_there_is_none(bench):
    graph = bench.open(workflow({"text": "string"}, {}, say=step(ECHO, "said", text="text"))).graph
    assert sink(graph, "text").default is MISSING


@pytest.mark.parametrize(
    ("requirement", "link"),
    [
        ("MultipleInputFeatureRequirement", {"source": ["a", "b"], "pickValue": "first_non_null"}),
        ("StepInputExpressionRequirement", {"source": "a", "valueFrom": "x"}),
    ],
)
def test_a_feature_that_is_not_declared_is_refused(bench, requirement, link):
    document = workflow({"a": "string?", "b": "string?"}, {}, say=step(ECHO, "said", text=link))
    del document["requirements"][requirement]
    with pytest.raises(DocumentError, match=requirement) as caught:
        bench.open(document)
    assert caught.value.remedy == f"Add '{requirement}: {{}}' to its requirements."


def test_an_operation_in_a_step_is_refused_by_the_step_s_name(bench):
    operation = {"class": "Operation", "inputs": {}, "outputs": {}}
    with pytest.raises(DocumentError, match=r"The step .*#later is an abstract Operation"):
        bench.open(workflow({}, {}, later=step(operation)))


def test_a_process_generator_is_not_supported(bench):
    generator = {
        "cwlVersion": "v1.2",
        "$namespaces": {"cwltool": "http://commonwl.org/cwltool#"},
        "class": "cwltool:ProcessGenerator",
        "inputs": [],
        "outputs": [],
        "run": bench.write("made.cwl", ECHO),
    }
    with pytest.raises(UnsupportedError, match="ProcessGenerator"):
        bench.open(generator)
