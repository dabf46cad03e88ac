"""A step over many values."""

import itertools
import math

import pytest
from engine_builders import Evaluator, boom, failure, outputs, refuse, run, step, workflow
from hypothesis import given
from hypothesis import strategies as st

from gridcwl.engine import Dataflow, Sink


def over(method, **inputs):
    """The ``out`` of a step that is scattered over all of its inputs and gives their tuple."""
    shard = step(
        "s", lambda i: tuple(i.values()), scatter=tuple(inputs), method=method, **{name: name for name in inputs}
    )
    return workflow(" ".join(inputs), shard, out="s/out")


def gathered(method, **inputs):
    return outputs(over(method, **inputs), inputs)["out"]


def invocation_names(process, inputs):
    return [invocation.name for invocation in Dataflow(process, inputs, Evaluator()).take(1000)]


arrays = st.lists(st.integers(), max_size=5)


@given(arrays)
def test_over_one_input_there_is_a_shard_for_each_item(items):
    assert gathered("dotproduct", a=items) == [(item,) for item in items]


@given(st.lists(st.tuples(st.integers(), st.text(max_size=2)), max_size=8))
def test_a_dotproduct_is_zip(pairs):
    a, b = [pair[0] for pair in pairs], [pair[1] for pair in pairs]
    assert gathered("dotproduct", a=a, b=b) == list(zip(a, b, strict=True))


@given(arrays, arrays, arrays)
def test_a_flat_crossproduct_is_itertools_product(a, b, c):
    assert gathered("flat_crossproduct", a=a, b=b, c=c) == list(itertools.product(a, b, c))


@given(arrays, arrays, arrays)
def test_a_nested_crossproduct_is_nested_comprehensions(a, b, c):
    assert gathered("nested_crossproduct", a=a, b=b, c=c) == [[[(x, y, z) for z in c] for y in b] for x in a]


@pytest.mark.parametrize(
    ("method", "a", "b", "shape"),
    [
        ("dotproduct", [], [], []),
        ("flat_crossproduct", [1, 2], [], []),
        ("nested_crossproduct", [1, 2], [], [[], []]),
        ("nested_crossproduct", [], [1, 2], []),
    ],
)
def test_over_empty_arrays_nothing_runs_and_the_shape_stays(method, a, b, shape):
    assert gathered(method, a=a, b=b) == shape


def test_a_step_after_an_empty_scatter_runs():
    after = step("after", lambda i: len(i["x"]), x="s/out")
    assert outputs(workflow("x", step("s", boom, x="x", scatter=("x",)), after, n="after/out"), {"x": []}) == {"n": 0}


def test_a_dotproduct_of_arrays_of_different_length_is_refused_naming_them():
    text = failure(over("dotproduct", a=1, b=1), {"a": [1, 2, 3], "b": [1]})
    assert text.startswith("s: A dotproduct scatter needs arrays of one length, but a has 3, b has 1\n")


@pytest.mark.parametrize(("value", "said"), [(None, "null"), ("text", "a string"), ({"class": "File"}, "a File")])
def test_what_is_not_an_array_cannot_be_scattered(value, said):
    text = failure(over("dotproduct", a=1), {"a": value})
    assert text.startswith(f"s: The input a is scattered, but its value is {said} and not an array")


def test_inputs_that_are_not_scattered_are_the_same_for_all_shards():
    s = step("s", lambda i: i["a"] + i["b"], a="a", b="b", scatter=("a",))
    assert outputs(workflow("a b", s, out="s/out"), {"a": [1, 2], "b": 10})["out"] == [11, 12]


def test_merged_links_can_be_scattered():
    s = step("s", lambda i: i["x"] + 1, x=Sink("x", ("a", "b"), "merge_flattened"), scatter=("x",))
    assert outputs(workflow("a b", s, out="s/out"), {"a": [1, 2], "b": 3})["out"] == [2, 3, 4]


def test_value_from_sees_the_item_and_not_the_array():
    s = step(
        "s",
        lambda i: i["b"],
        a="a",
        b=Sink("b", value_from=lambda i, _: i["a"] * 2),
        scatter=("a",),
    )
    assert outputs(workflow("a", s, out="s/out"), {"a": [1, 2]})["out"] == [2, 4]


def test_a_scattered_input_may_be_one_that_the_process_does_not_have():
    s = step(
        "s",
        lambda i: dict(i)["b"],
        a=Sink("a", ("a",), connected=False),
        b=Sink("b", value_from=lambda i, _: i["a"]),
        scatter=("a",),
    )
    assert outputs(workflow("a", s, out="s/out"), {"a": [1, 2]})["out"] == [1, 2]


def test_each_output_is_gathered():
    s = step("s", lambda i: {"p": i["x"], "q": -i["x"]}, x="x", scatter=("x",), outputs=("p", "q"))
    assert outputs(workflow("x", s, p="s/p", q="s/q"), {"x": [1, 2]}) == {"p": [1, 2], "q": [-1, -2]}


def test_shards_are_named_by_their_index():
    assert invocation_names(over("dotproduct", a=1), {"a": ["p", "q"]}) == ["s[0]", "s[1]"]
    both = {"a": [1, 2], "b": [3, 4]}
    assert invocation_names(over("dotproduct", **both), both) == ["s[0]", "s[1]"]
    for method in ("flat_crossproduct", "nested_crossproduct"):
        assert invocation_names(over(method, **both), both) == ["s[0,0]", "s[0,1]", "s[1,0]", "s[1,1]"]


def test_waiting_shards_are_not_looked_at_until_they_are_due():
    class Endless(tuple):
        __slots__ = ()
        seen = 0

        def __getitem__(self, at):
            Endless.seen += 1
            return super().__getitem__(at)

    flow = Dataflow(over("dotproduct", a=1), {"a": Endless(range(100_000))}, Evaluator())
    assert [len(flow.take(1)), len(flow.take(2)), Endless.seen] == [1, 2, 3]


def test_expressions_are_evaluated_once_for_each_shard_and_only_when_it_is_due():
    evaluator = Evaluator()
    s = step("s", len, x=Sink("x", ("x",), value_from=lambda _, own: own), scatter=("x",))
    flow = Dataflow(workflow("x", s, out="s/out"), {"x": [1, 2, 3]}, evaluator)
    flow.take(2)
    assert [seen["x"] for _, seen in evaluator.evaluated] == [1, 2]


def test_an_expression_that_fails_for_one_shard_is_reported_with_its_index():
    def picky(_, own):
        if own == 2:
            raise refuse("two is too much")
        return own

    s = step("s", lambda i: i["x"], x=Sink("x", ("x",), value_from=picky), scatter=("x",))
    flow = run(workflow("x", s, out="s/out"), {"x": [1, 2, 3]}, on_error="continue")
    assert [str(error) for error in flow.errors] == ["s[1]: two is too much"]
    assert flow.outputs == {"out": [1, None, 3]}


@given(st.lists(st.integers(0, 3), min_size=1, max_size=4).filter(lambda lengths: math.prod(lengths) < 60))
def test_the_order_in_which_shards_end_does_not_matter(lengths):
    inputs = {f"a{n}": list(range(length)) for n, length in enumerate(lengths)}
    process = over("nested_crossproduct", **inputs)
    results = [outputs(process, inputs, order=order) for order in ("fifo", "lifo", "seed 1", "seed 2")]
    assert all(result == results[0] for result in results)
