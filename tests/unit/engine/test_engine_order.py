"""Whatever the order in which invocations end, and however few run at once, the outputs are the same.

Generated workflows, held to an interpreter that is too simple to be wrong: one step after the other, by recursion.
"""

from __future__ import annotations

import itertools

from engine_builders import run, tool
from hypothesis import given, settings
from hypothesis import strategies as st

from gridcwl.engine import Sink, Step, Workflow

NAMES = ("a", "b")


def combine(inputs):
    return {"out": [[name, inputs[name]] for name in NAMES]}


def fail_sometimes(inputs):
    if "3" in repr(inputs):
        raise RuntimeError("a three")
    return combine(inputs)


def is_wanted(inputs, _):
    return len(repr(inputs["b"])) % 3 > 0


@st.composite
def steps(draw, number, sources, depth, leaves):
    """A step that may take from anything before it, over one or both of its inputs, with or without a condition."""
    scatter = draw(st.sampled_from([(), (), ("a",), NAMES]))
    links = [draw(st.lists(st.sampled_from(sources), min_size=1, max_size=2)) for _ in NAMES]
    sinks = tuple(
        Sink(name, tuple(link), "merge_flattened" if name in scatter else None)
        for name, link in zip(NAMES, links, strict=True)
    )
    process = tool(draw(st.sampled_from(leaves)))
    if depth and draw(st.booleans()):
        process = draw(workflows(depth - 1, leaves))
    method = draw(st.sampled_from(["nested_crossproduct", "flat_crossproduct"]))
    when = draw(st.sampled_from([None, is_wanted]))
    return Step(f"s{number}", process, sinks, ("out",), scatter, method, when)


@st.composite
def workflows(draw, depth=2, leaves=(combine,)):
    sources = list(NAMES)
    made = []
    for number in range(draw(st.integers(0, 3))):
        made.append(draw(steps(number, sources, depth, leaves)))
        sources.append(f"s{number}/out")
    outputs = tuple(draw(st.lists(st.sampled_from(sources), min_size=1, max_size=2)))
    return Workflow(
        "wf", NAMES, tuple(made), (Sink("out", outputs), *[Sink(f"all{n}", (s,)) for n, s in enumerate(sources)])
    )


inputs = st.fixed_dictionaries({name: st.lists(st.integers(0, 3), max_size=2) for name in NAMES})


def interpreted(workflow, values):
    """The outputs of a workflow without failures."""
    values = dict(values)
    for step in workflow.steps:
        values[f"{step.id}/out"] = interpreted_step(step, {sink.id: arrived(sink, values) for sink in step.sinks})
    return {sink.id: arrived(sink, values) for sink in workflow.outputs}


def interpreted_step(step, given):
    def shard(items):
        inputs = {**given, **dict(zip(step.scatter, items, strict=True))}
        if step.when is not None and not step.when(inputs, None):
            return None
        found = interpreted(step.run, inputs) if isinstance(step.run, Workflow) else step.run.handle(inputs)
        return found["out"]

    arrays = [given[key] for key in step.scatter]
    if len(arrays) == 2 and step.method == "nested_crossproduct":
        return [[shard((a, b)) for b in arrays[1]] for a in arrays[0]]
    return [shard(items) for items in itertools.product(*arrays)] if arrays else shard(())


def arrived(sink, values):
    found = [values[source] for source in sink.sources]
    if sink.link_merge:
        return [item for value in found for item in (value if isinstance(value, list) else [value])]
    return found[0] if len(found) == 1 else found


@settings(max_examples=200, deadline=None)
@given(workflows(), inputs, st.sampled_from(["fifo", "lifo", "seed 1", "seed 2"]), st.sampled_from([1, 2, 7, 1000]))
def test_generated_workflows_give_what_the_simple_interpreter_gives(workflow, given_inputs, order, window):
    flow = run(workflow, given_inputs, order=order, window=window)
    assert flow.status == "success"
    assert flow.outputs == interpreted(workflow, given_inputs)
    assert all(count.running == 0 for count in flow.progress())


@settings(max_examples=100, deadline=None)
@given(workflows(leaves=(combine, fail_sometimes)), inputs)
def test_with_failures_too_the_order_does_not_matter_if_the_run_continues(workflow, given_inputs):
    flows = [
        run(workflow, given_inputs, order=order, window=window, on_error="continue")
        for order, window in (("fifo", 1), ("lifo", 3), ("seed 1", 1000))
    ]
    assert len({flow.status for flow in flows}) == 1
    assert flows[0].outputs == flows[1].outputs == flows[2].outputs
    failed = [sorted(error.name for error in flow.errors) for flow in flows]
    assert failed[0] == failed[1] == failed[2]


@settings(max_examples=100, deadline=None)
@given(workflows(leaves=(combine, fail_sometimes)), inputs, st.sampled_from(["lifo", "seed 1"]))
def test_a_run_that_stops_ends_and_has_every_output(workflow, given_inputs, order):
    flow = run(workflow, given_inputs, order=order, window=2, on_error="stop")
    assert flow.done
    assert set(flow.outputs) == {sink.id for sink in workflow.outputs}
