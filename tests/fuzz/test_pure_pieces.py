"""The engine's links and scatters beside cwltool's own functions; the worker's patterns beside the listing's."""

from __future__ import annotations

from typing import Any

from cwltool import workflow_job
from cwltool.context import RuntimeContext
from cwltool.errors import WorkflowException
from cwltool.utils import WorkflowStateItem
from hypothesis import given, settings
from hypothesis import strategies as st

from gridcwl.cwl.listing import ListingFs
from gridcwl.engine import MISSING, Dataflow, Leaf, Sink, Step, Workflow
from gridcwl.engine.links import link
from gridcwl.errors import GridCWLError
from gridcwl.model import JobId, JobResult, Outcome, ProducedFile
from gridcwl.worker.globs import parse

SOURCES = ("a", "b", "c")
OUT = "/gridcwl/out"
REFUSED = "refused"

items = st.none() | st.integers(0, 3) | st.text("xy", max_size=2)
arriving = st.recursive(items, lambda inner: st.lists(inner, max_size=3), max_leaves=6)


@st.composite
def sinks(draw: st.DrawFn) -> Sink:
    return Sink(
        "x",
        tuple(draw(st.lists(st.sampled_from(SOURCES), max_size=3))),
        draw(st.sampled_from([None, "merge_nested", "merge_flattened"])),
        draw(st.sampled_from([None, "first_non_null", "the_only_non_null", "all_non_null"])),
        draw(st.just(MISSING) | items),
        draw(st.sampled_from([None, "$(self)"])),
    )


def linked_by_cwltool(sink: Sink, values: dict[str, Any]) -> Any:
    written = {
        "id": sink.id,
        "type": "Any",
        "source": list(sink.sources) if len(sink.sources) != 1 else sink.sources[0],
        "linkMerge": sink.link_merge,
        "pickValue": sink.pick_value,
        "default": sink.default,
        "valueFrom": sink.value_from,
    }
    absent = (None, MISSING)
    parameter = {
        key: value for key, value in written.items() if key in ("id", "type", "default") or value not in absent
    }
    if not sink.sources:
        del parameter["source"]
    if sink.default is MISSING:
        del parameter["default"]
    state = {name: WorkflowStateItem({"type": "Any"}, value, "success") for name, value in values.items()}
    try:
        return workflow_job.object_from_state(state, [parameter], True, True, "source")
    except WorkflowException:
        return REFUSED


@settings(max_examples=300, deadline=None)
@given(sinks(), st.fixed_dictionaries(dict.fromkeys(SOURCES, arriving)))
def test_links_merge_and_pick_as_cwltool_s_do(sink: Sink, values: dict[str, Any]) -> None:
    try:
        found: Any = link([sink], values)
    except GridCWLError:
        found = REFUSED
    assert found == linked_by_cwltool(sink, values)


class Shards:
    """Stands where cwltool has a step: each shard gives the values of its inputs."""

    def __init__(self, keys: tuple[str, ...]) -> None:
        self.keys = keys
        self.tool = {"outputs": [{"id": "out"}]}

    def job(self, inputs: dict[str, Any], ended: Any, _context: Any) -> Any:
        ended({"out": [inputs[key] for key in self.keys]}, "success")
        yield from ()


def scattered_by_cwltool(method: str, keys: tuple[str, ...], inputs: dict[str, Any]) -> Any:
    found: list[Any] = []
    function = getattr(workflow_job, f"{method}_scatter")

    def ended(outputs: Any, _status: str) -> None:
        found.append(outputs["out"])

    try:
        for _ in function(Shards(keys), dict(inputs), list(keys), ended, RuntimeContext()):
            pass
    except WorkflowException:
        return REFUSED
    return found[-1]


def scattered(method: Any, keys: tuple[str, ...], inputs: dict[str, Any]) -> Any:
    step = Step("s", Leaf("t"), tuple(Sink(key, (key,)) for key in inputs), ("out",), keys, method)
    flow = Dataflow(Workflow("w", tuple(inputs), (step,), (Sink("out", ("s/out",)),)), inputs, Entered())
    while True:
        for shard in flow.take(3):
            flow.succeed(shard.id, {"out": [shard.inputs[key] for key in keys]})
        if flow.done:
            return flow.outputs["out"] if flow.status == "success" else REFUSED


class Entered:
    """An evaluator for workflows without expressions."""

    def enter(self, _workflow: Workflow, inputs: Any) -> Any:
        return inputs


@settings(max_examples=300, deadline=None)
@given(
    st.sampled_from(["dotproduct", "flat_crossproduct", "nested_crossproduct"]),
    st.lists(st.sampled_from(SOURCES), min_size=1, max_size=3, unique=True),
    st.fixed_dictionaries({name: st.lists(items, max_size=3) for name in SOURCES}),
    st.integers(0, 3),
)
def test_scatters_have_the_shape_and_order_of_cwltool_s(
    method: str, keys: list[str], inputs: dict[str, list[Any]], length: int
) -> None:
    if length:  # a dotproduct of arrays drawn one by one would mostly be refused
        inputs = {name: (values * length)[:length] or [None] * length for name, values in inputs.items()}
        inputs = {name: values if len(values) == length else [0] * length for name, values in inputs.items()}
    assert scattered(method, tuple(keys), inputs) == scattered_by_cwltool(method, tuple(keys), inputs)


names = st.text("ab.1é ", min_size=1, max_size=3).filter(lambda name: name.strip("."))
parts = st.text("ab.1*?[]!é ", min_size=1, max_size=4).filter(lambda part: part.strip(".") and "**" not in part)


@settings(max_examples=300, deadline=None)
@given(st.lists(names, min_size=1, max_size=8, unique=True), parts)
def test_the_worker_keeps_what_the_listing_will_be_asked_for(tree: list[str], pattern: str) -> None:
    files = tuple(ProducedFile(name, "file", f"file:///real/{name}") for name in tree)
    listing = ListingFs(OUT, JobResult(JobId("1"), Outcome.SUCCESS, files=files))
    (part,) = parse(pattern, OUT).parts
    kept = [name for name in tree if part.matches(name)]
    asked = [name for name in tree if listing.glob(f"{OUT}/{pattern}").count(f"file://{OUT}/{quoted(name)}")]
    assert kept == asked


def quoted(name: str) -> str:
    from urllib.parse import quote

    return quote(name)
