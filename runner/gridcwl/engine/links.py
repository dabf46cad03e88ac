"""What arrives at a sink: linkMerge, pickValue and default, as functions of values.

The order is that of the specification and of cwltool's ``object_from_state``: merge, pick, then default.
https://www.commonwl.org/v1.2/Workflow.html#WorkflowStepInput
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from gridcwl.engine.graph import MISSING, Sink, Values
from gridcwl.errors import InputError


def link(sinks: Iterable[Sink], values: Values) -> dict[str, Any]:
    """The value of every sink, before any expression.

    Raises:
        InputError: a sink gets no value at all, or ``pickValue`` has nothing, or too much, to pick from.
    """
    linked: dict[str, Any] = {}
    for sink in sinks:
        value = arriving(sink, values)
        if value is MISSING and sink.value_from is None:
            raise InputError(
                f"The input {sink.id} has no source, no default and no valueFrom",
                remedy="Connect it, give it a default, or leave it out of the step.",
            )
        linked[sink.id] = None if value is MISSING else value
    return linked


def gather(sinks: Iterable[Sink], values: Values) -> tuple[dict[str, Any], list[InputError]]:
    """What a workflow gives back: every output, null where nothing arrived, and why ``pickValue`` could not pick.

    A workflow that failed gives back what it has, so one sink in trouble does not hide the others.
    """
    gathered: dict[str, Any] = {}
    errors: list[InputError] = []
    for sink in sinks:
        gathered[sink.id] = None
        try:
            value = arriving(sink, values)
        except InputError as error:
            errors.append(error)
        else:
            gathered[sink.id] = None if value is MISSING else value
    return gathered, errors


def arriving(sink: Sink, values: Values) -> Any:
    """The sink's value, or MISSING; sources without a value (their step failed) are passed over."""
    value = _merged(sink, values)
    if sink.pick_value is not None and isinstance(value, list | tuple):
        value = _picked(sink, value)
    if (value is MISSING or value is None) and sink.default is not MISSING:
        return sink.default
    return value


def _merged(sink: Sink, values: Values) -> Any:
    if len(sink.sources) == 1 and sink.link_merge is None:
        return values.get(sink.sources[0], MISSING)
    present = [values[source] for source in sink.sources if source in values]
    if not present:
        return MISSING
    if sink.link_merge != "merge_flattened":
        return present
    flat: list[Any] = []
    for value in present:
        if isinstance(value, list | tuple):
            flat.extend(value)
        else:
            flat.append(value)
    return flat


def _picked(sink: Sink, items: Sequence[Any]) -> Any:
    found = [item for item in items if item is not None]
    if sink.pick_value == "all_non_null":
        return found
    sources = ", ".join(sink.sources)
    if not found:
        raise InputError(
            f"All sources of {sink.id} are null ({sources}), and pickValue {sink.pick_value} needs one that is not",
            remedy="Let one of the steps run in every case, or use all_non_null.",
        )
    if sink.pick_value == "the_only_non_null" and len(found) > 1:
        raise InputError(
            f"{len(found)} of the {len(items)} values for {sink.id} are not null ({sources}), "
            "and pickValue the_only_non_null allows one",
            remedy="Make the conditions of these steps exclude each other, or use first_non_null.",
        )
    return found[0]
