"""Documents with DIRAC's own hints: they run here, and what has no effect is listed."""

from __future__ import annotations

import importlib.metadata
import json
from pathlib import Path
from types import SimpleNamespace

import pytest
from commandline import gridcwl as command

import gridcwl
from gridcwl.cwl.dirac_hints import kind_of, query_of
from gridcwl.errors import ConfigError, DocumentError, InputError
from gridcwl.runs import dialect

COUNT = {
    "class": "CommandLineTool",
    "baseCommand": ["echo"],
    "arguments": ["$(inputs.files.length)"],
    "stdout": "output.txt",
    "inputs": {"files": {"type": {"type": "array", "items": ["string", "File"]}}},
    "outputs": {"result": {"type": "stdout"}},
}


def job_grouping(*hints: dict, items: tuple[str, ...] = ("string", "File")) -> dict:
    """As dirac-cwl's own example."""
    return {
        "cwlVersion": "v1.2",
        "class": "Workflow",
        "$namespaces": {"dirac": "https://diracgrid.org/cwl#", "gridcwl": "https://gridcwl.readthedocs.io/cwl#"},
        "requirements": {"InlineJavascriptRequirement": {}},
        "hints": list(hints),
        "inputs": {"input-data": {"type": {"type": "array", "items": list(items)}}},
        "outputs": {"result-file": {"type": "File", "outputSource": "count/result"}},
        "steps": {"count": {"in": {"files": "input-data"}, "out": ["result"], "run": COUNT}},
    }


def texts(outputs) -> list[str]:
    return [Path(file.path).read_text().strip() for file in outputs["result-file"]]


@pytest.mark.parametrize(
    "hint",
    [
        {"class": "dirac:ExecutionHooks", "group_size": 2, "output_sandbox": ["result-file"]},
        {"class": "dirac:Transformation", "group_size": 2},
        {"class": "dirac:TransformationExecutionHooks", "group_size": {"input-data": 2}},
        {"class": "gridcwl:Grouping", "input": "input-data", "size": 2},
        {"class": "gridcwl:Grouping", "chunks": 3},
    ],
)
def test_a_hint_groups_input_files(desk, hint):
    desk.write("doc.cwl", json.dumps(job_grouping(hint)))
    run = gridcwl.run("doc.cwl", {"input-data": list("abcde")}, outdir="out")
    assert texts(run.outputs) == ["2", "2", "1"]


def test_options_group_over_the_hint(desk):
    desk.write("doc.cwl", json.dumps(job_grouping({"class": "dirac:Transformation", "group_size": 2})))
    done = command(
        "--quiet",
        "--outdir",
        "out",
        "--group",
        "input-data=4",
        "doc.cwl",
        desk.write("in.json", '{"input-data": ["a", "b", "c", "d", "e"]}'),
    )
    assert len(done.outputs["result-file"]) == 2


def test_files_are_grouped_by_size(desk):
    for name, size in (("a", 90), ("b", 10), ("c", 10), ("d", 60)):
        desk.write(name, "x" * size)
    desk.write("doc.cwl", json.dumps(job_grouping(items=("File",))))
    files = [Path(name) for name in "abcd"]
    run = gridcwl.run("doc.cwl", {"input-data": files}, outdir="out", chunks=2, balance="size")
    assert texts(run.outputs) == ["1", "3"]


def test_an_input_without_a_value_cannot_be_grouped(desk):
    tool = {**COUNT, "cwlVersion": "v1.2", "inputs": {**COUNT["inputs"], "seed": {"type": "int?"}}}
    desk.write("doc.cwl", json.dumps(tool))
    with pytest.raises(InputError, match="'seed' has no value, so that it cannot be grouped"):
        gridcwl.run("doc.cwl", {"files": ["a"]}, outdir="out", group="seed=1")


def test_an_input_that_takes_one_file_runs_once_for_each(desk):
    for name in "ab":
        desk.write(name, name)
    tool = {
        **COUNT,
        "cwlVersion": "v1.2",
        "baseCommand": "cat",
        "arguments": [],
        "inputs": {"file": {"type": "File", "inputBinding": {}}},
    }
    desk.write("doc.cwl", json.dumps(tool))
    given = {"file": [{"class": "File", "path": "a"}, {"class": "File", "path": "b"}]}
    run = gridcwl.run("doc.cwl", given, outdir="out", group="file=1")
    assert [Path(file.path).read_text() for file in run.outputs["result"]] == ["a", "b"]


def test_a_run_in_groups_is_resumed_with_them(desk):
    desk.write("doc.cwl", json.dumps(job_grouping({"class": "dirac:Transformation", "group_size": 2})))
    given = desk.write("in.json", '{"input-data": ["a", "b", "c"]}')
    done = command("--quiet", "--outdir", "out", "doc.cwl", given)
    again = command("resume", "last", "--quiet", "--outdir", "again")
    assert [file["size"] for file in again.outputs["result-file"]] == [
        file["size"] for file in done.outputs["result-file"]
    ]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (("--group", "input-dat=2"), "Did you mean input-data"),
        (("--group", "2"), "files per job"),
        (("--chunks", "2", "--balance", "size"), "no known size"),
        (("--balance", "size"), "--balance has no effect"),
    ],
)
def test_groups_that_cannot_be_made_are_explained(desk, options, message):
    desk.write("doc.cwl", json.dumps(job_grouping()))
    done = command(*options, "doc.cwl", desk.write("in.json", '{"input-data": ["a", "b", "c"]}'))
    if message == "files per job":
        assert done.code == 0  # the only input
    else:
        assert message in done.stderr


def test_plan_lists_what_has_no_effect(desk):
    hints = [
        {"class": "dirac:Scheduling", "priority": 5, "sites": None},
        {"class": "dirac:ExecutionHooks", "hook_plugin": "QueryBasedPlugin", "configuration": {"campaign": "PROD5"},
         "output_paths": {"result-file": "/ctao/user/x"}, "output_se": ["SE1"], "output_sandbox": ["result-file"]},
        {"class": "dirac:Job", "schema_version": "1.0", "type": "User", "group": "g", "log_level": "DEBUG",
         "input_sandbox": [{"source": "input-data", "path": "in/"}], "color": "red"},
    ]  # fmt: skip
    desk.write("doc.cwl", json.dumps(job_grouping(*hints)))
    done = command("plan", "doc.cwl", desk.write("in.json", '{"input-data": ["a"]}'))
    listed = [line for line in done.stdout.splitlines() if line.startswith("not so")]
    for word in (
        "hook_plugin",
        "configuration",
        "output_paths",
        "output_se",
        "group",
        "log_level",
        "path",
        "color",
        "priority",
    ):
        assert any(f"{word} " in line for line in listed), word
    assert not any("output_sandbox" in line or "type" in line for line in listed)
    assert done.stderr == ""


def test_hints_without_a_declared_prefix_are_read_without_a_warning(desk):
    document = job_grouping({"class": "dirac:ExecutionHooks", "group_size": 2})
    del document["$namespaces"]
    desk.write("doc.cwl", json.dumps(document))
    done = command("--outdir", "out", "doc.cwl", desk.write("in.json", '{"input-data": ["a", "b", "c"]}'))
    assert len(done.outputs["result-file"]) == 2
    assert "WARNING" not in done.stderr


@pytest.mark.parametrize(
    ("name", "kind"),
    [
        ("https://diracgrid.org/cwl#Job", "dirac:Job"),
        ("file:///x/schemas/dirac-metadata.json#/$defs/ExecutionHooksHint", "dirac:ExecutionHooks"),
        ("dirac:execution-hooks", "dirac:ExecutionHooks"),
        ("dirac:Workgraph", None),
        ("https://example.org/cwl#Job", None),
        ("https://gridcwl.readthedocs.io/cwl#Grouping", "gridcwl:Grouping"),
    ],
)
def test_a_hint_is_known_by_its_last_part(name, kind):
    assert kind_of(name) == kind


@pytest.mark.parametrize(
    ("query", "location"),
    [
        ("cta:dl1.*", "cta:dl1.*"),
        ({"scope": "cta", "campaign": "PROD5", "type": "dataset"}, "rucio://cta/*?campaign=PROD5&type=dataset"),
        ({"scope": "cta", "name": "run 1*"}, "rucio://cta/run%201*"),
        (None, ""),
    ],
)
def test_a_query_by_metadata_becomes_a_location(query, location):
    assert query_of(query) == location


@pytest.mark.parametrize("query", [{"campaign": "X"}, 5, {"scope": "c", "run": {"min": 1}}])
def test_a_query_that_means_nothing_is_refused(query):
    with pytest.raises(DocumentError, match="input_query"):
        query_of(query)


@pytest.mark.parametrize(
    "hint",
    [
        {"class": "dirac:Transformation", "group_size": 0},
        {"class": "dirac:Transformation", "group_size": "many"},
        {"class": "dirac:ExecutionHooks", "output_paths": {"nothing": "/x"}},
        {"class": "dirac:ExecutionHooks", "output_paths": {"result-file": "/x/../y"}},
        {"class": "dirac:Job", "output_data": [{"output_path": "/x"}]},
        {"class": "dirac:Job", "output_data": [{"source": "result-file", "output_se": "A|B"}]},
        {"class": "gridcwl:Grouping", "size": 2, "chunks": 3},
        {"class": "gridcwl:Grouping", "files": 2},
    ],
)
def test_a_hint_with_a_wrong_value_is_refused(desk, hint):
    desk.write("doc.cwl", json.dumps(job_grouping(hint)))
    with pytest.raises((DocumentError, InputError), match="hint"):
        gridcwl.run("doc.cwl", {"input-data": ["a"]}, store="rucio" if "output" in str(hint) else "local")


# -- dirac:Production ----------------------------------------------------------------------------------------------


class LikeDiracCwl:
    """A dataset plug-in as dirac-cwl has them: it writes a file of inputs."""

    def generate_inputs(self, workflow_path, config, output_dir, n_lfns=None, pick_smallest=False):  # noqa: ARG002
        path = output_dir / "inputs.yml"
        path.write_text("input-data:\n" + "".join(f"  - {name}\n" for name in config["names"]))
        return path, None


def with_plugin(monkeypatch, name, plugin):
    entry = SimpleNamespace(name=name, attr=getattr(plugin, "__name__", name), value="x:y", load=lambda: plugin)
    monkeypatch.setattr(
        importlib.metadata, "entry_points", lambda group: [entry] if group == dialect.PLUGINS[0] else []
    )


def production(name, names=("a", "b", "c")):
    return {"class": "dirac:Production", "input_dataset_plugin": name, "input_dataset_config": {"names": list(names)}}


def test_a_dataset_plugin_of_dirac_cwl_gives_the_inputs(desk, monkeypatch):
    with_plugin(monkeypatch, "bookkeeping", LikeDiracCwl)
    hints = [production("LikeDiracCwl"), {"class": "dirac:Transformation", "group_size": 2}]
    desk.write("doc.cwl", json.dumps(job_grouping(*hints)))
    assert texts(gridcwl.run("doc.cwl", outdir="out").outputs) == ["2", "1"]


def test_a_function_is_a_dataset_plugin_too(desk, monkeypatch):
    with_plugin(monkeypatch, "names", lambda _document, config: {"input-data": config["names"]})
    desk.write("doc.cwl", json.dumps(job_grouping(production("names"))))
    run = gridcwl.run("doc.cwl", outdir="out")
    assert Path(run.outputs["result-file"].path).read_text() == "3\n"


def test_a_dataset_plugin_gets_the_path_of_the_document_as_it_is(desk, monkeypatch):
    read = []
    with_plugin(monkeypatch, "names", lambda path, config: read.append(path) or {"input-data": config["names"]})
    written = desk.write("my documents/doc.cwl", json.dumps(job_grouping(production("names"))))
    gridcwl.run("my documents/doc.cwl", outdir="out")
    assert read == [Path(written)]


def test_inputs_of_the_user_go_before_those_of_the_plugin(desk):
    desk.write("doc.cwl", json.dumps(job_grouping(production("not-installed"))))
    run = gridcwl.run("doc.cwl", {"input-data": ["x"]}, outdir="out")
    assert Path(run.outputs["result-file"].path).read_text() == "1\n"


def test_a_missing_plugin_is_named(desk):
    desk.write("doc.cwl", json.dumps(job_grouping(production("LHCbBookkeepingPlugin"))))
    with pytest.raises(ConfigError, match="LHCbBookkeepingPlugin, which is not installed"):
        gridcwl.run("doc.cwl", outdir="out")


def test_a_plugin_that_fails_is_named_with_its_reason(desk, monkeypatch):
    def broken(_document, _config):
        raise OSError("the bookkeeping does not answer")

    with_plugin(monkeypatch, "broken", broken)
    desk.write("doc.cwl", json.dumps(job_grouping(production("broken"))))
    with pytest.raises(InputError, match="broken failed: the bookkeeping does not answer"):
        gridcwl.run("doc.cwl", outdir="out")
