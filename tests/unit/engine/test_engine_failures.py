"""What happens to the rest when something fails."""

import pytest
from engine_builders import Evaluator, boom, outputs, run, step, workflow

from gridcwl.engine import Dataflow, Sink


def odd_only(inputs):
    if inputs["x"] % 2 == 0:
        raise RuntimeError(f"{inputs['x']} is even")
    return inputs["x"]


def scatter_of(run, *more, **links):
    shard = step("s", run, x="x", scatter=("x",))
    return workflow("x", shard, *more, out="s/out", **links)


def test_on_error_stop_gives_nothing_more_out_and_records_what_still_ends():
    flow = Dataflow(scatter_of(odd_only), {"x": list(range(10))}, Evaluator(), on_error="stop")
    first, second, third = flow.take(3)
    flow.fail(first.id, RuntimeError("bad"))
    assert (flow.take(5), flow.done, flow.in_flight) == ([], False, 2)
    flow.succeed(second.id, {"out": "second"})
    flow.succeed(third.id, {"out": "third"})
    assert flow.done
    assert flow.outputs == {"out": [None, "second", "third", *[None] * 7]}
    assert flow.status == "permanentFail"


def test_on_error_continue_runs_the_other_shards_and_then_fails_the_step():
    after = step("after", len, x="s/out")
    flow = run(scatter_of(odd_only, after, n="after/out"), {"x": [0, 1, 2, 3]}, on_error="continue")
    assert [str(error) for error in flow.errors] == ["s[0]: 0 is even", "s[2]: 2 is even"]
    assert flow.outputs == {"out": [None, 1, None, 3], "n": None}


def test_on_error_continue_runs_everything_that_does_not_need_the_failed_step():
    process = workflow(
        "",
        step("bad", boom),
        step("needs", len, x="bad/out"),
        step("needs_too", len, x="needs/out", y="good/out"),
        step("good", lambda _: 1),
        step("fine", lambda i: i["x"] + 1, x="good/out"),
        needs="needs_too/out",
        fine="fine/out",
    )
    flow = run(process, on_error="continue")
    assert (flow.outputs, flow.status, len(flow.errors)) == ({"needs": None, "fine": 2}, "permanentFail", 1)


def test_a_step_is_not_run_on_what_a_failed_step_left_even_if_it_could_pick_something_else():
    sink = Sink("x", ("bad/out", "good/out"), pick_value="first_non_null")
    process = workflow("", step("bad", boom), step("good", lambda _: 1), step("s", lambda _: "ran", x=sink), o="s/out")
    assert run(process, on_error="continue").outputs == {"o": None}


def test_outputs_of_a_failed_workflow_gather_what_is_there():
    process = workflow(
        "", step("bad", boom), step("good", lambda _: 1), o=Sink("o", ("bad/out", "good/out"), "merge_flattened")
    )
    assert run(process, on_error="continue").outputs == {"o": [1]}


@pytest.mark.parametrize("on_error", ["stop", "continue"])
def test_a_failed_sub_workflow_gives_what_it_has(on_error):
    inner = workflow(
        "x", step("ok", lambda i: i["x"], x="x"), step("bad", odd_only, x="ok/out"), ok="ok/out", bad="bad/out"
    )
    process = workflow(
        "x", step("s", inner, x="x", scatter=("x",), outputs=("ok", "bad")), ok="s/ok", bad="s/bad", given="x"
    )
    flow = run(process, {"x": [1, 2]}, on_error=on_error)
    assert flow.outputs == {"ok": [1, 2], "bad": [1, None], "given": [1, 2]}
    assert [str(error) for error in flow.errors] == ["s[1]/bad: 2 is even"]


def test_on_error_stop_closes_workflows_that_are_half_way():
    inner = workflow("x", step("p", odd_only, x="x"), step("q", len, x="p/out"), p="p/out", q="q/out")
    middle = workflow("x", step("m", inner, x="x", outputs=("p", "q")), p="m/p", q="m/q")
    process = workflow("x", step("s", middle, x="x", scatter=("x",), outputs=("p", "q")), p="s/p", q="s/q")
    flow = run(process, {"x": [1, 2, 3]}, window=2, order="lifo")  # s[1] fails while s[0] is at its first step
    assert flow.outputs == {"p": [1, None, None], "q": [None, None, None]}


def test_what_a_failed_tool_left_is_kept_if_given():
    flow = Dataflow(workflow("", step("s", len), out="s/out"), {}, Evaluator())
    [invocation] = flow.take(1)
    flow.fail(invocation.id, RuntimeError("exit 1"), outputs={"out": "half"})
    assert (flow.done, flow.outputs, flow.status) == (True, {"out": "half"}, "permanentFail")


def test_an_output_that_the_step_names_and_the_tool_did_not_give_is_a_failure():
    flow = run(workflow("", step("s", lambda _: {"a": 1}, outputs=("a", "b")), a="s/a", b="s/b"))
    assert str(flow.errors[0]).startswith("s: It ended well, but without the output b")
    assert flow.outputs == {"a": 1, "b": None}


@pytest.mark.parametrize(
    ("errors", "status"),
    [
        ([TimeoutError(), TimeoutError()], "temporaryFail"),
        ([TimeoutError(), RuntimeError(), TimeoutError()], "permanentFail"),
    ],
)
def test_a_failure_is_temporary_if_all_failures_are(errors, status):
    def tool(inputs):
        raise errors[inputs["x"]]

    assert run(scatter_of(tool), {"x": list(range(len(errors)))}, on_error="continue").status == status


def test_a_failure_among_a_hundred_thousand_waiting_shards_ends_the_run_at_once():
    flow = run(scatter_of(boom), {"x": list(range(100_000))}, window=4)
    assert flow.status == "permanentFail"
    assert len(flow.errors) == 4


def test_handing_in_twice_is_a_mistake():
    flow = Dataflow(scatter_of(odd_only), {"x": [1, 3]}, Evaluator())
    [invocation] = flow.take(1)
    flow.succeed(invocation.id, {"out": 1})
    with pytest.raises(KeyError):
        flow.succeed(invocation.id, {"out": 1})


def test_linking_that_fails_is_reported_by_the_name_of_the_step_and_blocks_what_follows():
    process = workflow("", step("s", len, x=Sink("x")), step("t", len, x="s/out"), out="t/out")
    flow = run(process, on_error="continue")
    assert [error.name for error in flow.errors] == ["s"]
    assert [(count.name, count.failed, count.blocked) for count in flow.progress()] == [("s", 1, 0), ("t", 0, 1)]


def test_success_has_no_errors():
    assert outputs(scatter_of(odd_only), {"x": [1]}) == {"out": [1]}
