"""Steps that run only ``when``, and steps that run again and again."""

import pytest
from engine_builders import Evaluator, failure, outputs, run, step, workflow

from gridcwl.engine import Dataflow, Loop, Sink


def wanted(inputs, _):
    return inputs["x"] > 1


def guarded(**fields):
    return step("s", lambda i: i["x"] * 10, x="x", when=wanted, **fields)


def test_a_step_whose_condition_is_false_gives_null_and_the_rest_continues():
    after = step("after", lambda i: i["x"] is None, x="s/out")
    process = workflow("x", guarded(), after, out="s/out", after="after/out")
    assert outputs(process, {"x": 1}) == {"out": None, "after": True}
    assert outputs(process, {"x": 2}) == {"out": 20, "after": False}


def test_in_a_scatter_the_condition_is_asked_for_each_shard():
    process = workflow("x", guarded(scatter=("x",)), out="s/out")
    assert outputs(process, {"x": [1, 2, 3]})["out"] == [None, 20, 30]


def test_a_nested_crossproduct_keeps_its_shape_where_shards_are_skipped():
    s = step("s", lambda _: 1, x="x", y="y", scatter=("x", "y"), method="nested_crossproduct", when=wanted)
    assert outputs(workflow("x y", s, out="s/out"), {"x": [1, 2], "y": [0, 0]})["out"] == [[None, None], [1, 1]]


def test_a_scatter_of_which_all_shards_are_skipped_ends():
    assert outputs(workflow("x", guarded(scatter=("x",)), out="s/out"), {"x": [0, 1]})["out"] == [None, None]


def test_the_condition_sees_the_inputs_after_value_from():
    s = step("s", lambda i: i["x"], x=Sink("x", ("x",), value_from=lambda _, own: own + 1), when=wanted)
    assert outputs(workflow("x", s, out="s/out"), {"x": 1})["out"] == 2


def test_the_condition_may_look_at_an_input_that_the_process_does_not_have():
    s = step("s", len, x=Sink("x", ("x",), connected=False), when=wanted)
    assert outputs(workflow("x", s, out="s/out"), {"x": 2})["out"] == 0


@pytest.mark.parametrize("answer", [None, 1, "true", []])
def test_a_condition_that_is_neither_true_nor_false_is_an_error(answer):
    s = step("s", len, when=lambda _, __: answer)
    text = failure(workflow("", s, out="s/out"))
    assert text.startswith("s: 'when' must be true or false")
    assert f"gives {answer!r}" in text


def test_of_two_branches_the_one_that_ran_is_picked():
    process = workflow(
        "x",
        step("big", lambda _: "big", x="x", when=lambda i, _: i["x"] > 1),
        step("small", lambda _: "small", x="x", when=lambda i, _: i["x"] <= 1),
        out=Sink("out", ("big/out", "small/out"), pick_value="the_only_non_null"),
    )
    assert [outputs(process, {"x": x})["out"] for x in (1, 2)] == ["small", "big"]


def test_a_skipped_sub_workflow_is_never_entered():
    evaluator = Evaluator()
    inner = workflow("x", y="x", name="inner")
    process = workflow("x", step("s", inner, x="x", when=wanted, outputs=("y",)), out="s/y")
    assert outputs(process, {"x": 0}, evaluator=evaluator) == {"out": None}
    assert evaluator.entered == ["main"]


def test_a_run_that_ends_with_a_skipped_step_is_done_after_the_next_take():
    s = step("s", len, x="a/out", when=lambda _, __: False)
    flow = Dataflow(workflow("", step("a", len), s, out="s/out"), {}, Evaluator())
    [invocation] = flow.take(5)
    flow.succeed(invocation.id, {"out": 1})
    assert not flow.done
    assert flow.take(5) == []
    assert flow.done


def counting(run=lambda i: i["x"] + 1, *, method="last_iteration", carried=None, until=3, **links):
    """Count up from x until it reaches a number."""
    loop = Loop((carried or Sink("x", ("out",)),), method)
    return step("s", run, **{"x": "x"} | links, when=lambda i, _: i["x"] < until, loop=loop)


@pytest.mark.parametrize(
    ("method", "start", "result"),
    [
        ("last_iteration", 0, 3),
        ("all_iterations", 0, [1, 2, 3]),
        ("last_iteration", 5, None),
        ("all_iterations", 5, []),
    ],
)
def test_a_loop_runs_while_its_condition_holds(method, start, result):
    assert outputs(workflow("x", counting(method=method), out="s/out"), {"x": start})["out"] == result


def test_iterations_are_given_out_one_by_one_and_named_by_number():
    flow = Dataflow(workflow("x", counting(), out="s/out"), {"x": 0}, Evaluator())
    names = []
    while not flow.done:
        for invocation in flow.take(10):
            names.append(invocation.name)
            flow.succeed(invocation.id, {"out": invocation.inputs["x"] + 1})
    assert names == ["s[0]", "s[1]", "s[2]"]


def test_inputs_that_a_loop_does_not_renew_stay():
    s = counting(lambda i: i["x"] + i["by"], by="by", until=10)
    assert outputs(workflow("x by", s, out="s/out"), {"x": 0, "by": 4})["out"] == 12


def test_value_from_in_a_loop_sees_the_output_as_self_and_the_last_inputs():
    carried = Sink("x", ("out",), value_from=lambda i, own: own + 100 * i["x"])
    s = counting(carried=carried, method="all_iterations", until=150)
    assert outputs(workflow("x", s, out="s/out"), {"x": 1})["out"] == [2, 103]


def test_the_inputs_value_from_is_evaluated_before_the_first_iteration_only():
    s = counting(x=Sink("x", ("x",), value_from=lambda _, own: own + 1), method="all_iterations")
    assert outputs(workflow("x", s, out="s/out"), {"x": 0})["out"] == [2, 3]


def test_a_loop_may_run_a_sub_workflow():
    inner = workflow("x", step("inc", lambda i: i["x"] + 1, x="x"), out="inc/out", name="inner")
    assert outputs(workflow("x", counting(inner), out="s/out"), {"x": 0})["out"] == 3


def test_a_loop_that_fails_gives_the_iterations_that_ended_well():
    def picky(inputs):
        if inputs["x"] == 2:
            raise RuntimeError("two")
        return inputs["x"] + 1

    process = workflow("x", counting(picky, method="all_iterations"), out="s/out")
    for on_error in ("stop", "continue"):
        flow = run(process, {"x": 0}, on_error=on_error)
        assert [str(error) for error in flow.errors] == ["s[2]: two"]
        assert flow.outputs == {"out": [1, 2]}
