"""One step over many values: how many shards there are, what each gets, and the shape of what is gathered.

A shard is a number until it is due; nothing here costs anything for shards that wait.
https://www.commonwl.org/v1.2/Workflow.html#WorkflowStep (scatter)
"""

from __future__ import annotations

from collections.abc import Sequence
from math import prod
from typing import Any, TypeAlias

import msgspec

from gridcwl.engine.graph import Groups, ScatterMethod, Step, Values
from gridcwl.errors import InputError
from gridcwl.model.grouping import grouped

Index: TypeAlias = tuple[int, ...]
"""Where a shard is in its scatter: one number, or one for each input of a cross product. Empty if not scattered."""


class Scatter(msgspec.Struct, frozen=True):
    """The scattered inputs of one run of a step. Positions count the shards, the last input changing fastest."""

    keys: tuple[str, ...]
    arrays: tuple[Sequence[Any], ...]
    method: ScatterMethod
    lengths: tuple[int, ...]
    """The extent of the index; a dotproduct has one, a cross product one for each input."""
    total: int
    joined: bool = False
    """The shards have parts of a list each, and so are their outputs."""

    def index(self, position: int) -> Index:
        """Where the shard with this number is."""
        if len(self.lengths) == 1:
            return (position,)
        index = []
        for length in reversed(self.lengths):
            position, at = divmod(position, length)
            index.append(at)
        return tuple(reversed(index))

    def inputs(self, shared: Values, index: Index) -> dict[str, Any]:
        """The step's inputs with each scattered one replaced by the shard's item."""
        inputs = dict(shared)
        if len(index) == 1:
            at = index[0]
            for key, array in zip(self.keys, self.arrays, strict=True):
                inputs[key] = array[at]
        else:
            for key, array, at in zip(self.keys, self.arrays, index, strict=True):
                inputs[key] = array[at]
        return inputs

    def shaped(self, column: list[Any]) -> list[Any] | None:
        """One output of all shards by position, in the shape that the method promises.

        An empty inner array leaves empty lists in its place: 2 x 0 gives ``[[], []]``.
        """
        if self.joined:
            return _joined(column)
        if self.method != "nested_crossproduct":
            return column
        for depth in range(len(self.lengths) - 1, 0, -1):
            length = self.lengths[depth]
            column = [column[at * length : (at + 1) * length] for at in range(prod(self.lengths[:depth]))]
        return column


def scattered(step: Step, inputs: Values) -> Scatter:
    """The scatter of a step over its linked inputs.

    Raises:
        InputError: a scattered input is not an array, or the arrays of a dotproduct differ in length.
    """
    if step.groups is not None:
        return _in_groups(step.groups, inputs[step.groups.input])
    arrays = tuple(_array(key, inputs[key]) for key in step.scatter)
    lengths = tuple(len(array) for array in arrays)
    if step.method == "dotproduct":
        if len(set(lengths)) > 1:
            sizes = ", ".join(f"{key} has {length}" for key, length in zip(step.scatter, lengths, strict=True))
            raise InputError(
                f"A dotproduct scatter needs arrays of one length, but {sizes}",
                remedy="Give arrays of the same length, or scatter with flat_crossproduct or nested_crossproduct.",
            )
        lengths = lengths[:1]
    return Scatter(step.scatter, arrays, step.method, lengths, prod(lengths))


def _in_groups(groups: Groups, value: object) -> Scatter:
    """Nothing to group is one shard of a step that is not written as a scatter, as without groups."""
    if groups.joined and not (isinstance(value, list | tuple) and value):
        parts: list[Any] = [value]
    else:
        parts = grouped(_array(groups.input, value), groups.how, name=groups.input)
    return Scatter((groups.input,), (parts,), "dotproduct", (len(parts),), len(parts), groups.joined)


def _joined(column: list[Any]) -> list[Any] | None:
    """The lists of all shards as one; null if all of them are."""
    lists = [value for value in column if isinstance(value, list | tuple)]
    return [item for value in lists for item in value] if lists else None


def _array(key: str, value: object) -> Sequence[Any]:
    if isinstance(value, list | tuple):
        return value
    found = "null" if value is None else _kind(value)
    raise InputError(
        f"The input {key} is scattered, but its value is {found} and not an array",
        remedy="Give an array, or take the input out of the step's scatter.",
    )


def _kind(value: object) -> str:
    """What a value is, in CWL's words."""
    if isinstance(value, dict):
        return f"a {value['class']}" if value.get("class") in ("File", "Directory") else "a record"
    if isinstance(value, bool):
        return "a boolean"
    return "a number" if isinstance(value, int | float) else "a string"
