"""A run that stops takes back what was given out and has not begun."""

from __future__ import annotations

import pytest

from gridcwl.engine import Dataflow, Leaf, Sink, Step, Workflow


class Nothing:
    """An evaluator for workflows without expressions."""

    def enter(self, _workflow, inputs):
        return inputs


def scatter() -> Workflow:
    step = Step("s", Leaf("t"), (Sink("x", ("xs",)),), ("y",), scatter=("x",))
    return Workflow("main", ("xs",), (step,), (Sink("ys", ("s/y",)),))


@pytest.mark.parametrize("size", [2, 3, 10])
def test_the_run_is_done_when_the_rest_is_withdrawn(size):
    flow = Dataflow(scatter(), {"xs": list(range(size))}, Nothing())
    first, *others = flow.take(3)
    flow.fail(first.id, RuntimeError("no"))
    for invocation in others[1:]:
        flow.withdraw(invocation.id)
    flow.succeed(others[0].id, {"y": "kept"})
    flow.take(10)

    assert flow.done
    assert flow.status == "permanentFail"
    assert flow.outputs["ys"][:2] == [None, "kept"]
    assert len(flow.errors) == 1


def test_what_is_withdrawn_is_neither_running_nor_failed():
    flow = Dataflow(scatter(), {"xs": [1, 2]}, Nothing())
    first, second = flow.take(2)
    flow.fail(first.id, RuntimeError("no"))
    flow.withdraw(second.id)

    (step,) = flow.progress()
    assert (step.running, step.failed, step.done) == (0, 1, 0)


def test_a_single_tool_can_be_withdrawn():
    flow = Dataflow(Leaf("t"), {}, Nothing())
    (invocation,) = flow.take(1)

    flow.withdraw(invocation.id)

    assert flow.done
