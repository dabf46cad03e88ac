"""A graph that exists can be run: what is wrong with one is said when it is made."""

import pytest
from engine_builders import step, workflow

from gridcwl.engine import Leaf, Loop, Sink, Step
from gridcwl.errors import DocumentError


def test_a_cycle_is_refused_naming_its_steps_in_the_order_of_the_data():
    with pytest.raises(DocumentError, match=r"main has a cycle: (a -> b -> c -> a|b -> c -> a -> b|c -> a -> b -> c)"):
        workflow(
            "x",
            step("head", len, x="x"),
            step("a", len, x="c/out", h="head/out"),
            step("b", len, x="a/out"),
            step("c", len, x="b/out"),
            step("tail", len, x="c/out"),
        )


def test_a_step_that_feeds_itself_is_a_cycle():
    with pytest.raises(DocumentError, match="a -> a"):
        workflow("", step("a", len, x="a/out"))


def test_a_cycle_of_a_thousand_steps_is_found():
    with pytest.raises(DocumentError, match="s0 -> "):
        workflow("", *[step(f"s{n}", len, x=f"s{(n + 1) % 1000}/out") for n in range(1000)])


def test_a_source_that_does_not_exist_is_refused():
    with pytest.raises(DocumentError, match="The step a takes x from b/out, which does not exist"):
        workflow("", step("a", len, x="b/out"))


def test_an_output_source_that_does_not_exist_is_refused():
    with pytest.raises(DocumentError, match="The workflow main takes result from nowhere"):
        workflow("", result="nowhere")


def test_a_scattered_input_has_to_be_an_input_of_the_step():
    with pytest.raises(DocumentError, match=r"The step a scatters over y, which is not one of its inputs \(x\)"):
        step("a", len, x="x", scatter=("y",))


@pytest.mark.parametrize(
    "make",
    [
        lambda: workflow("x x"),
        lambda: workflow("x", step("a", len), step("a", len)),
        lambda: Step("a", Leaf("t"), (Sink("x"), Sink("x"))),
    ],
)
def test_two_things_of_one_name_are_refused(make):
    with pytest.raises(DocumentError, match="more than one"):
        make()


def test_an_output_that_the_sub_workflow_does_not_have_is_refused():
    with pytest.raises(DocumentError, match="names the output out, but the workflow it runs has result"):
        step("a", workflow("x", result="x"), x="x")


def test_a_loop_needs_a_condition():
    with pytest.raises(DocumentError, match="loops without end"):
        step("a", len, x="x", loop=Loop())


def test_a_loop_cannot_be_scattered():
    with pytest.raises(DocumentError, match="both loop and scatter"):
        step("a", len, x="x", scatter=("x",), when=bool, loop=Loop())


def test_a_loop_carries_on_only_outputs_of_its_own_step():
    with pytest.raises(DocumentError, match="The loop of step a takes x from other"):
        step("a", len, x="x", when=bool, loop=Loop((Sink("x", ("other",)),)))
