"""Counts for the display."""

from engine_builders import Evaluator, run, settle, step, workflow

from gridcwl.engine import Dataflow, Loop, Sink


def one(inputs):
    if inputs["x"] == 0:
        raise RuntimeError("zero")
    return inputs["x"]


def counted(flow):
    return {
        count.name: (count.total, count.taken, count.running, count.done, count.failed, count.skipped)
        for count in flow.progress()
    }


def test_shards_are_counted_from_waiting_to_ended():
    process = workflow("x", step("s", one, x="x", scatter=("x",)), step("after", len, x="s/out"), out="after/out")
    flow = Dataflow(process, {"x": [0, 1, 2]}, Evaluator(), on_error="continue")
    assert counted(flow) == {"s": (None, 0, 0, 0, 0, 0), "after": (None, 0, 0, 0, 0, 0)}
    first, second = flow.take(2)
    assert counted(flow)["s"] == (3, 2, 2, 0, 0, 0)
    settle(flow, first)
    settle(flow, second)
    assert counted(flow)["s"] == (3, 2, 0, 1, 1, 0)
    assert counted(flow)["after"] == (None, 0, 0, 0, 0, 0)


def test_skipped_shards_are_counted_apart():
    s = step("s", one, x="x", scatter=("x",), when=lambda i, _: i["x"] > 1)
    assert counted(run(workflow("x", s, out="s/out"), {"x": [1, 2, 3]})) == {"s": (3, 2, 0, 2, 0, 1)}


def test_instances_of_a_sub_workflow_are_added_up_and_follow_the_step_that_runs_it():
    inner = workflow("x", step("i", one, x="x"), out="i/out", name="inner")
    process = workflow("x", step("a", inner, x="x", scatter=("x",)), step("b", len, x="x"), out="a/out")
    counts = counted(run(process, {"x": [1, 2, 3]}))
    assert list(counts) == ["a", "a/i", "b"]
    assert counts["a"] == counts["a/i"] == (3, 3, 0, 3, 0, 0)


def test_steps_come_after_those_that_they_wait_for_and_otherwise_as_in_the_document():
    process = workflow(
        "x",
        step("all", len, x="b/out"), step("b", one, x="c/out"), step("c", one, x="x"), step("d", one, x="x"),
        out="all/out",
    )  # fmt: skip
    assert list(counted(run(process, {"x": 1}))) == ["c", "d", "b", "all"]


def test_iterations_of_a_loop_are_counted():
    s = step("s", lambda i: i["x"] + 1, x="x", when=lambda i, _: i["x"] < 3, loop=Loop((Sink("x", ("out",)),)))
    assert counted(run(workflow("x", s, out="s/out"), {"x": 0})) == {"s": (3, 3, 0, 3, 0, 0)}


def test_a_sub_workflow_used_a_great_many_times_costs_nothing_until_it_is_entered():
    inner = workflow("x", step("s", one, x="x"), out="s/out", name="bottom")
    for level in range(60):  # 2 to the power of 60 steps, if one were to count them
        left, right = step("l", inner, x="x", when=lambda _, __: False), step("r", inner, x="x")
        inner = workflow("x", left, right, out="r/out", name=f"level{level}")
    flow = run(inner, {"x": 1})
    assert (flow.outputs, len(flow.progress())) == ({"out": 1}, 121)
