"""Large and odd shapes end, and end right. How fast is for benchmarks/engine to say."""

import gc
import tracemalloc
import weakref

from engine_builders import Evaluator, outputs, step, workflow

from gridcwl.engine import Dataflow


def increment(inputs):
    return inputs["x"] + 1


def test_a_chain_of_a_thousand_steps():
    links = ["x", *[f"s{n}/out" for n in range(1000)]]
    chain = workflow("x", *[step(f"s{n}", increment, x=links[n]) for n in range(1000)], out=links[-1])
    assert outputs(chain, {"x": 0}) == {"out": 1000}


def test_a_nested_crossproduct_of_300_by_300():
    s = step("s", lambda i: (i["x"], i["y"]), x="x", y="y", scatter=("x", "y"), method="nested_crossproduct")
    grid = outputs(workflow("x y", s, out="s/out"), {"x": list(range(300)), "y": list(range(300))})["out"]
    assert [(len(grid), len(grid[0])), grid[7][299]] == [(300, 300), (7, 299)]


def test_a_gather_of_ten_thousand_into_one_invocation():
    process = workflow(
        "x", step("s", increment, x="x", scatter=("x",)), step("sum", lambda i: sum(i["x"]), x="s/out"), out="sum/out"
    )
    assert outputs(process, {"x": [0] * 10_000}) == {"out": 10_000}


def test_a_thousand_sources_of_one_sink():
    names = [f"s{n}" for n in range(1000)]
    process = workflow("", *[step(name, lambda _: 1) for name in names], out=tuple(f"{name}/out" for name in names))
    assert outputs(process)["out"] == [1] * 1000


def test_a_hundred_thousand_skipped_shards_end_within_one_take():
    s = step("s", increment, x="x", scatter=("x",), when=lambda _, __: False)
    flow = Dataflow(workflow("x", s, out="s/out"), {"x": [0] * 100_000}, Evaluator())
    assert (flow.take(1), flow.done) == ([], True)


def test_waiting_shards_take_no_memory_but_the_place_of_their_output():
    s = step("s", increment, x="x", scatter=("x",))
    process, inputs = workflow("x", s, out="s/out"), {"x": list(range(100_000))}
    tracemalloc.start()
    try:
        flow = Dataflow(process, inputs, Evaluator())
        flow.take(1)
        held, _ = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert held < 100_000 * 8 * 1.1  # one pointer each


def test_of_scattered_sub_workflows_only_those_under_way_are_held():
    inner = workflow("x", step("i", increment, x="x"), out="i/out", name="inner")
    flow = Dataflow(
        workflow("x", step("a", inner, x="x", scatter=("x",)), out="a/out"), {"x": [0] * 20_000}, Evaluator()
    )
    tracemalloc.start()
    try:
        while not flow.done:
            for invocation in flow.take(4):
                flow.succeed(invocation.id, {"out": None})
            flow.closed()
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak < 20_000 * 8 * 3


def test_outputs_are_let_go_when_the_steps_that_take_them_have_ended():
    class Value:
        pass

    made = []

    def make(_inputs):
        value = Value()
        made.append(weakref.ref(value))
        return value

    def alive(_inputs):
        gc.collect()
        return [ref() is not None for ref in made]

    process = workflow(
        "x",
        step("a", make, x="x", scatter=("x",)),
        step("b", make, x="a/out", scatter=("x",)),
        step("c", make, x="x"),
        step("count", alive, x="b/out", y="c/out"),
        alive="count/out",
        c="c/out",
    )
    # a's two are gone, b's two are inputs of the step that looks, c's is an output of the workflow
    assert outputs(process, {"x": [1, 2]}, window=1)["alive"].count(True) == 3
