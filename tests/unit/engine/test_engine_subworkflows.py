"""Workflows as steps of workflows."""

import sys

import pytest
from engine_builders import Evaluator, failure, outputs, run, step, workflow

from gridcwl.engine import Dataflow, Leaf, Sink
from gridcwl.errors import InputError


def add(amount, name="add"):
    return workflow("x", step("inc", lambda i: i["x"] + amount, x="x"), out="inc/out", name=name)


def nested(levels):
    """A step at the bottom of so many workflows."""
    inner = add(1)
    for level in range(levels):
        inner = workflow("x", step(f"level{level}", inner, x="x"), out=f"level{level}/out", name=f"wf{level}")
    return inner


def test_a_sub_workflow_is_a_step_like_any_other():
    process = workflow("x", step("a", add(1), x="x"), step("b", add(10), x="a/out"), out="b/out")
    assert outputs(process, {"x": 0}) == {"out": 11}


def test_sub_workflows_can_be_scattered():
    process = workflow("x", step("a", add(1), x="x", scatter=("x",)), out="a/out")
    assert outputs(process, {"x": [1, 2, 3]}, order="lifo") == {"out": [2, 3, 4]}


def test_scatters_within_scatters_are_gathered_level_by_level():
    inner = workflow("x", step("inc", lambda i: i["x"] + 1, x="x", scatter=("x",)), out="inc/out", name="inner")
    process = workflow("x", step("a", inner, x="x", scatter=("x",)), out="a/out")
    assert outputs(process, {"x": [[1, 2], [], [3]]}) == {"out": [[2, 3], [], [4]]}


def test_invocations_are_named_from_the_outermost_workflow_inwards():
    process = workflow("x", step("a", add(1), x="x", scatter=("x",)), out="a/out")
    flow = Dataflow(process, {"x": [5, 6]}, Evaluator())
    taken = flow.take(9)
    assert [invocation.name for invocation in taken] == ["a[0]/inc", "a[1]/inc"]
    assert taken[1].path == (("a", (1,)), ("inc", ()))


def test_a_sub_workflow_begins_with_what_the_evaluator_makes_of_its_inputs():
    evaluator = Evaluator(defaults={"y": 40})
    inner = workflow("x y", step("sum", lambda i: i["x"] + i["y"], x="x", y="y"), out="sum/out", name="inner")
    assert outputs(workflow("x", step("a", inner, x="x"), out="a/out"), {"x": 2}, evaluator=evaluator) == {"out": 42}
    assert evaluator.entered == ["main", "inner"]


def test_inputs_that_a_sub_workflow_refuses_fail_the_step_that_runs_it():
    class Strict(Evaluator):
        def enter(self, workflow, inputs):
            if workflow.id == "inner" and not isinstance(inputs["x"], int):
                raise InputError("x is not an int")
            return super().enter(workflow, inputs)

    process = workflow("x", step("a", add(1, "inner"), x="x", scatter=("x",)), out="a/out")
    flow = run(process, {"x": [1, "b"]}, evaluator=Strict(), on_error="continue")
    assert [str(error) for error in flow.errors] == ["a[1]: x is not an int"]
    assert flow.outputs == {"out": [2, None]}


def test_inputs_that_the_outermost_workflow_refuses_are_refused_at_once():
    class Strict(Evaluator):
        def enter(self, _workflow, _inputs):
            raise InputError("no")

    with pytest.raises(InputError):
        Dataflow(add(1), {}, Strict())


def test_a_sub_workflow_without_steps_passes_its_inputs_through():
    inner = workflow("x", out="x", name="inner")
    process = workflow("x", step("a", inner, x="x", scatter=("x",)), out="a/out")
    assert outputs(process, {"x": [1, 2]}) == {"out": [1, 2]}


def test_a_workflow_without_steps_is_done_before_anything_is_taken():
    assert Dataflow(workflow("x", y="x"), {"x": 1}, Evaluator()).done


def test_an_output_of_a_sub_workflow_that_cannot_be_picked_is_reported_with_its_path():
    inner = workflow("x", out=Sink("out", ("x",), "merge_nested", "first_non_null"), name="inner")
    assert failure(workflow("x", step("a", inner, x="x"), out="a/out")).startswith("a: All sources of out are null")


def test_depth_does_not_use_the_stack_of_python():
    assert sys.getrecursionlimit() <= 1000
    assert outputs(nested(400), {"x": 0}) == {"out": 1}


def test_what_was_begun_ends_before_more_begins():
    pair = workflow("x", step("p", len, x="x"), step("q", len, x="p/out"), out="q/out", name="pair")
    flow = Dataflow(workflow("x", step("a", pair, x="x", scatter=("x",)), out="a/out"), {"x": [1, 2]}, Evaluator())
    names = []
    while not flow.done:
        for invocation in flow.take(1):
            names.append(invocation.name)
            flow.succeed(invocation.id, {"out": 1})
    assert names == ["a[0]/p", "a[0]/q", "a[1]/p", "a[1]/q"]


def test_a_single_tool_is_a_dataflow_too():
    tool = Leaf("tool", handle=lambda i: {"y": i["x"] + 1})
    flow = Dataflow(tool, {"x": 1}, Evaluator())
    [invocation] = flow.take(1)
    assert (invocation.name, flow.take(1), flow.done) == ("tool", [], False)
    flow.succeed(invocation.id, {"y": 2})
    assert (flow.done, flow.status, flow.outputs) == (True, "success", {"y": 2})


def test_a_single_tool_can_fail():
    flow = run(Leaf("tool", handle=lambda _: 1 / 0))
    assert (flow.status, str(flow.errors[0])) == ("permanentFail", "tool: division by zero")


def test_workflows_that_have_ended_are_reported_once_with_their_inputs_and_outputs_the_inner_ones_first():
    process = workflow("x", step("a", add(1), x="x", scatter=("x",)), out="a/out")
    flow = Dataflow(process, {"x": [5, 6]}, Evaluator())
    for invocation in flow.take(9):
        flow.succeed(invocation.id, {"out": invocation.leaf.handle(invocation.inputs)})
    assert [(ended.path, ended.inputs, ended.outputs) for ended in flow.closed()] == [
        ((("a", (0,)),), {"x": 5}, {"out": 6}),
        ((("a", (1,)),), {"x": 6}, {"out": 7}),
        ((), {"x": [5, 6]}, {"out": [6, 7]}),
    ]
    assert flow.closed() == []


def test_workflows_that_a_failure_ends_are_reported_without_outputs():
    process = workflow("x", step("a", add(1), x="x"), out="a/out")
    flow = Dataflow(process, {"x": 5}, Evaluator())
    (invocation,) = flow.take(9)
    flow.fail(invocation.id, InputError("no"))
    assert [(ended.path, ended.outputs) for ended in flow.closed()] == [((("a", ()),), None), ((), None)]
