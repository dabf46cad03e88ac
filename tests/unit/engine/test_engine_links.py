"""What arrives at a step: links, defaults, linkMerge, pickValue, valueFrom."""

import pytest
from engine_builders import Evaluator, failure, outputs, refuse, run, step, workflow

from gridcwl.engine import Sink


def given(sink: Sink, **inputs):
    """What a step gets through this sink from a workflow with these inputs."""
    return outputs(workflow(" ".join(inputs), step("s", lambda i: i[sink.id], x=sink), out="s/out"), inputs)["out"]


def test_a_value_goes_from_step_to_step():
    chain = workflow(
        "x", step("add", lambda i: i["x"] + 1, x="x"), step("double", lambda i: i["x"] * 2, x="add/out"), y="double/out"
    )
    assert outputs(chain, {"x": 3}) == {"y": 8}


def test_an_output_can_be_linked_straight_to_an_input():
    assert outputs(workflow("x", y="x"), {"x": 1}) == {"y": 1}


def test_a_step_without_inputs_runs():
    assert outputs(workflow("", step("s", lambda _: 5), y="s/out")) == {"y": 5}


def test_several_outputs_of_one_step_can_be_used():
    pair = step("s", lambda i: {"a": i["x"], "b": -i["x"], "unused": 0}, x="x", outputs=("a", "b"))
    assert outputs(workflow("x", pair, a="s/a", b="s/b"), {"x": 1}) == {"a": 1, "b": -1}


def test_an_output_without_a_source_is_null():
    assert outputs(workflow("", y=())) == {"y": None}


def test_values_go_by_reference():
    big = ["x"] * 10
    assert outputs(workflow("x", step("s", lambda i: i["x"], x="x"), y="s/out"), {"x": big})["y"] is big


@pytest.mark.parametrize(("value", "arrives"), [(None, 7), (0, 0), (False, False), ([], [])])
def test_the_default_stands_in_for_null_only(value, arrives):
    assert given(Sink("x", ("x",), default=7), x=value) == arrives


def test_the_default_is_the_value_if_there_is_no_source():
    assert given(Sink("x", default=7)) == 7


def test_a_null_default_is_a_value():
    assert given(Sink("x", default=None)) is None


def test_an_input_with_no_value_at_all_is_an_error():
    assert failure(workflow("", step("s", len, x=Sink("x")), y="s/out")).startswith(
        "s: The input x has no source, no default and no valueFrom"
    )


@pytest.mark.parametrize(
    ("sink", "inputs", "arrives"),
    [
        (Sink("x", ("a", "b")), {"a": 1, "b": [2]}, [1, [2]]),
        (Sink("x", ("a",), "merge_nested"), {"a": 1}, [1]),
        (Sink("x", ("a", "b"), "merge_flattened"), {"a": 1, "b": [2, 3]}, [1, 2, 3]),
        (Sink("x", ("a",), "merge_flattened"), {"a": [1, [2]]}, [1, [2]]),
        (Sink("x", ("a",), "merge_flattened"), {"a": 1}, [1]),
        (Sink("x", ("a", "b"), default=7), {"a": None, "b": None}, [None, None]),
    ],
)
def test_several_links_are_merged(sink, inputs, arrives):
    assert given(sink, **inputs) == arrives


@pytest.mark.parametrize(
    ("pick", "values", "arrives"),
    [
        ("first_non_null", [None, 0, 1], 0),
        ("the_only_non_null", [None, 0, None], 0),
        ("all_non_null", [None, 0, 1], [0, 1]),
        ("all_non_null", [None, None], []),
    ],
)
def test_pick_value_picks(pick, values, arrives):
    inputs = {f"v{n}": value for n, value in enumerate(values)}
    assert given(Sink("x", tuple(inputs), pick_value=pick), **inputs) == arrives


def test_pick_value_picks_from_the_array_of_a_single_source():
    assert given(Sink("x", ("a",), pick_value="first_non_null"), a=[None, 2]) == 2


def test_pick_value_leaves_what_is_not_an_array():
    assert given(Sink("x", ("a",), pick_value="the_only_non_null"), a=None) is None


@pytest.mark.parametrize("pick", ["first_non_null", "the_only_non_null"])
def test_pick_value_reports_when_all_are_null(pick):
    sink = Sink("x", ("a", "b"), pick_value=pick)
    text = failure(workflow("a b", step("s", len, x=sink), y="s/out"))
    assert text.startswith(f"s: All sources of x are null (a, b), and pickValue {pick} needs one that is not")


def test_pick_value_reports_when_too_many_are_not_null():
    sink = Sink("y", ("a", "b"), pick_value="the_only_non_null")
    assert "2 of the 2 values for y are not null (a, b)" in failure(workflow("a b", y=sink), {"a": 1, "b": 2})


def test_an_output_that_cannot_be_picked_does_not_hide_the_others():
    flow = run(workflow("a b", x=Sink("x", ("b",), "merge_nested", "first_non_null"), y="a"), {"a": 1})
    assert (flow.status, flow.outputs) == ("permanentFail", {"x": None, "y": 1})


def test_value_from_sees_its_own_value_as_self_and_all_inputs_before_any_value_from():
    s = step(
        "s",
        lambda i: i,
        outputs=("a", "b"),
        a=Sink("a", ("x",), value_from=lambda i, own: own + i["b"]),
        b=Sink("b", ("y",), value_from=lambda i, own: own * i["a"]),
    )
    assert outputs(workflow("x y", s, a="s/a", b="s/b"), {"x": 2, "y": 10}) == {"a": 12, "b": 20}


def test_value_from_needs_no_source():
    assert given(Sink("x", value_from=lambda _, own: [own]), a=1) == [None]


def test_value_from_sees_the_default():
    assert given(Sink("x", default=2, value_from=lambda _, own: own + 1)) == 3


def test_an_input_that_the_process_does_not_have_is_seen_by_expressions_only():
    s = step(
        "s",
        lambda i: sorted(i.items()),
        x=Sink("x", ("a",), value_from=lambda i, own: own + i["extra"]),
        extra=Sink("extra", ("b",), connected=False),
    )
    assert outputs(workflow("a b", s, out="s/out"), {"a": 1, "b": 2})["out"] == [("x", 3)]


def test_contents_are_loaded_before_value_from_and_the_given_file_stays_as_it_is():
    file = {"class": "File", "location": "a.txt"}
    sink = Sink("x", ("x",), load_contents=True, value_from=lambda _, own: own["contents"])
    assert given(sink, x=file) == "contents of a.txt"
    assert file == {"class": "File", "location": "a.txt"}


def test_contents_of_null_are_not_loaded():
    assert given(Sink("x", ("x",), load_contents=True), x=None) is None


def test_a_step_without_expressions_never_reaches_the_evaluator():
    evaluator = Evaluator()
    scattered = step("s", lambda i: i["x"], x="x", scatter=("x",))
    outputs(workflow("x", scattered, out="s/out"), {"x": [1, 2]}, evaluator=evaluator)
    assert evaluator.evaluated == []


def test_an_expression_that_fails_fails_its_step():
    s = step("s", len, x=Sink("x", value_from=refuse("x is not defined")))
    assert failure(workflow("", s, out="s/out")) == "s: x is not defined"


def test_a_mistake_in_the_evaluator_is_not_hidden():
    s = step("s", len, x=Sink("x", value_from=ZeroDivisionError()))
    with pytest.raises(ZeroDivisionError):
        run(workflow("", s, out="s/out"))
