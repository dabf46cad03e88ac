"""The seam to expressions, and the order in which CWL wants them evaluated.

What an expression *is* only the evaluator knows. When each is due, and what it sees as ``inputs`` and ``self``, is
decided here. A step without expressions never reaches the evaluator.
"""

from __future__ import annotations

from typing import Any, Protocol

from gridcwl.engine.graph import Sink, Step, Values, Workflow
from gridcwl.engine.links import link
from gridcwl.errors import ExpressionError


class Evaluator(Protocol):
    """What the engine needs done outside of it.

    A GridCWLError raised here fails the shard it was raised for; anything else is a mistake in gridcwl and is let
    through.
    """

    def enter(self, workflow: Workflow, inputs: Values) -> Values:
        """The inputs with which this (sub-)workflow begins: defaults filled in, validated. An absent one is null."""

    def load_contents(self, step: Step, value: Any) -> Any:
        """The File, or array of Files, with ``contents`` added; a new value, the given one stays as it is."""

    def evaluate(self, step: Step, expression: Any, inputs: Values, self_value: Any) -> Any:
        """The value of one ``valueFrom`` or ``when`` of this step."""


def has_expressions(step: Step) -> bool:
    """Whether any shard of this step needs the evaluator."""
    return step.when is not None or any(sink.value_from is not None or sink.load_contents for sink in step.sinks)


def prepared(evaluator: Evaluator, step: Step, inputs: dict[str, Any]) -> dict[str, Any]:
    """A shard's inputs after ``loadContents`` and ``valueFrom``.

    Every ``valueFrom`` sees as ``inputs`` what arrived at *all* sinks, before any ``valueFrom``: their order does not
    matter. https://www.commonwl.org/v1.2/Workflow.html#WorkflowStepInput
    """
    loaded = {
        sink.id: evaluator.load_contents(step, inputs[sink.id])
        for sink in step.sinks
        if sink.load_contents and inputs[sink.id] is not None
    }
    seen = {**inputs, **loaded}
    return {**seen, **_computed(evaluator, step, step.sinks, seen=seen, own=seen)}


def carried_on(evaluator: Evaluator, step: Step, inputs: dict[str, Any], outputs: Values) -> dict[str, Any]:
    """The inputs of a loop's next iteration: those of the last one, renewed from what it gave back.

    https://www.commonwl.org/v1.3.0-dev1/Workflow.html#LoopInput
    """
    sinks = step.loop.sinks if step.loop is not None else ()
    renewed = link(sinks, outputs)
    return {**inputs, **renewed, **_computed(evaluator, step, sinks, seen=inputs, own=renewed)}


def holds(evaluator: Evaluator, step: Step, inputs: Values) -> bool:
    """Whether the shard is to run; its ``when`` sees the inputs after ``valueFrom``.

    Raises:
        ExpressionError: ``when`` is neither true nor false.
    """
    if step.when is None:
        return True
    answer = evaluator.evaluate(step, step.when, inputs, None)
    if not isinstance(answer, bool):
        raise ExpressionError(
            f"'when' must be true or false, but {step.when} gives {answer!r}",
            remedy="Compare in the expression, as in $(inputs.x != null).",
        )
    return answer


def _computed(
    evaluator: Evaluator, step: Step, sinks: tuple[Sink, ...], *, seen: Values, own: Values
) -> dict[str, Any]:
    return {
        sink.id: evaluator.evaluate(step, sink.value_from, seen, own[sink.id])
        for sink in sinks
        if sink.value_from is not None
    }
