"""Builders of small graphs, and a backend that is a list.

A leaf's handle is a function of its input object; it returns the value of its one output ``out``, or a dict of outputs.
An expression is a function of ``inputs`` and ``self``.
"""

from __future__ import annotations

import random
from collections.abc import Callable
from typing import Any

from gridcwl.engine import Dataflow, Invocation, Leaf, Sink, Step, Workflow
from gridcwl.errors import ExpressionError


class Evaluator:
    """Expressions are functions; remembers what it was asked."""

    def __init__(self, defaults: dict[str, Any] | None = None) -> None:
        self.defaults = defaults or {}
        self.evaluated: list[tuple[str, dict]] = []
        self.loaded: list[Any] = []
        self.entered: list[str] = []

    def enter(self, workflow, inputs):
        self.entered.append(workflow.id)
        return {**{name: self.defaults.get(name) for name in workflow.inputs}, **inputs}

    def load_contents(self, _step, value):
        self.loaded.append(value)
        return {**value, "contents": f"contents of {value['location']}"}

    def evaluate(self, step, expression, inputs, self_value):
        self.evaluated.append((step.id, inputs))
        if isinstance(expression, Exception):
            raise expression
        return expression(inputs, self_value)


def tool(function: Callable[[Any], Any], name: str = "tool") -> Leaf:
    """A tool that calls the function with its input object, attribute by attribute."""
    return Leaf(name, "tool", function)


def step(name: str, run: Any, *, outputs: tuple[str, ...] = ("out",), **fields: Any) -> Step:
    """A step; keywords that are no fields of Step are inputs: a source, a tuple of sources, or a Sink."""
    known = {key: fields.pop(key) for key in ("scatter", "method", "when", "loop") if key in fields}
    sinks = tuple(as_sink(key, link) for key, link in fields.items())
    return Step(name, run if isinstance(run, Workflow | Leaf) else tool(run, name), sinks, outputs, **known)


def as_sink(name: str, link: Any) -> Sink:
    if isinstance(link, Sink):
        return link
    return Sink(name, (link,) if isinstance(link, str) else tuple(link))


def workflow(inputs: str, *steps: Step, name: str = "main", **outputs: Any) -> Workflow:
    """A workflow with inputs by name, ``"a b"``, and outputs by link."""
    return Workflow(name, tuple(inputs.split()), steps, tuple(as_sink(key, link) for key, link in outputs.items()))


def invoke(invocation: Invocation) -> dict[str, Any]:
    found = invocation.leaf.handle(invocation.inputs)
    return found if isinstance(found, dict) and "class" not in found else {"out": found}


def settle(flow: Dataflow, invocation: Invocation) -> None:
    """Run one invocation and hand in how it ended."""
    try:
        outputs = invoke(invocation)
    except TimeoutError as error:
        flow.fail(invocation.id, error, temporary=True)
    except Exception as error:  # noqa: BLE001 (a tool may fail in any way)
        flow.fail(invocation.id, error)
    else:
        flow.succeed(invocation.id, outputs)


def run(process, inputs=None, *, order="fifo", window=1000, on_error="stop", evaluator=None) -> Dataflow:
    """Run to the end on a list: what was taken waits there until its turn in the order comes."""
    flow = Dataflow(process, inputs or {}, evaluator or Evaluator(), on_error=on_error)
    chance = random.Random(order)
    waiting: list[Invocation] = []
    while True:
        waiting += flow.take(window - len(waiting))
        assert flow.in_flight == len(waiting)
        if flow.done:
            assert not waiting
            return flow
        assert waiting, "the dataflow is stuck: nothing runs, nothing is given out, and it is not done"
        at = {"fifo": 0, "lifo": -1}.get(order, chance.randrange(len(waiting)))
        settle(flow, waiting.pop(at))


def outputs(process, inputs=None, **options: Any) -> dict[str, Any]:
    """The outputs of a run that has to succeed."""
    flow = run(process, inputs, **options)
    assert flow.status == "success", [str(error) for error in flow.errors]
    return dict(flow.outputs)


def failure(process, inputs=None, **options: Any) -> str:
    """The first failure of a run that has to fail, as a person reads it."""
    flow = run(process, inputs, **options)
    assert flow.status == "permanentFail"
    return str(flow.errors[0])


def boom(_inputs: Any) -> Any:
    raise RuntimeError("boom")


def refuse(message: str) -> ExpressionError:
    """An expression that cannot be evaluated."""
    return ExpressionError(message)
