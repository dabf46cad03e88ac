"""Documents as people write them: legal forms that are easily forgotten."""

from __future__ import annotations

import base64
import logging

import pytest
from commandline import gridcwl
from documents import glob, step, tool, workflow

from gridcwl.cwl import document_cache, load
from gridcwl.cwl.context import EvaluationOptions
from gridcwl.errors import DocumentError


@pytest.mark.parametrize(
    "of_workflow", [[".csi"], ".csi", {"pattern": ".csi"}, [{"pattern": ".csi", "required": True}]]
)
@pytest.mark.parametrize("of_tool", [[".csi"], ".csi", ".csi?", {"pattern": ".csi"}, [{"pattern": ".csi"}, ".x?"]])
def test_secondary_files_may_be_written_in_all_forms(bench, of_workflow, of_tool):
    reads = tool("cat", inputs={"f": {"type": "File", "secondaryFiles": of_tool}})
    inputs = {"f": {"type": "File", "secondaryFiles": of_workflow}}
    assert bench.open(workflow(inputs, {}, read=step(reads, f="f")))


def test_secondary_files_of_a_record_s_field_may_be_a_single_pattern(bench):
    record = {"type": "record", "fields": [{"name": "f", "type": "File", "secondaryFiles": {"pattern": ".csi"}}]}
    reads = tool("cat", inputs={"r": {"type": record}})
    assert bench.open(workflow({"r": {"type": record}}, {}, read=step(reads, r="r")))


def test_outputs_may_have_a_single_pattern(bench):
    makes = tool("touch", "a", outputs={"o": glob("a", secondaryFiles={"pattern": ".csi"})})
    reads = tool("cat", inputs={"f": {"type": "File", "secondaryFiles": {"pattern": ".csi"}}})
    assert bench.open(workflow({}, {}, make=step(makes, "o"), read=step(reads, f="make/o")))


def test_a_directory_literal_needs_no_name_and_gets_the_same_one_in_each_run(bench):
    document = tool("ls", inputs={"d": {"type": "Directory", "inputBinding": {"position": 1}}})
    bench.write("in.yml", "d: {class: Directory, listing: [{class: File, basename: a, contents: x}]}\n")
    first, second = (bench.resolve(document, "in.yml").job.command[-1] for _ in range(2))
    assert first == second
    assert "directory-" in first


def test_variables_that_cwl_promises_are_kept_with_a_warning(bench, caplog):
    caplog.set_level(logging.WARNING)
    logging.getLogger("cwltool").addHandler(caplog.handler)
    try:
        bench.open(tool("true", requirements={"EnvVarRequirement": {"envDef": {"HOME": "/h", "A": "b"}}}))
    finally:
        logging.getLogger("cwltool").removeHandler(caplog.handler)
    assert "HOME is not changed" in caplog.text


def test_a_schema_that_cannot_be_fetched_is_asked_for_once_and_the_document_is_kept(bench, monkeypatch, tmp_path):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setattr(document_cache, "_UNREACHABLE", set())
    asked = []

    def unreachable(_self, url, _types=None):
        if url.startswith("http"):
            asked.append(url)
            raise RuntimeError(f"Error fetching {url}: Max retries exceeded")
        return (tmp_path / url.rpartition("/")[2]).read_text()

    monkeypatch.setattr("schema_salad.fetcher.DefaultFetcher.fetch_text", unreachable)
    schemas = {"$schemas": ["http://example.invalid/a.owl", "http://example.invalid/b.owl"]}
    names = [bench.write(f"{name}.cwl", tool("true") | schemas) for name in ("one", "two")]
    for name in names:
        load.load(load.locate(name)[0], EvaluationOptions())
    assert asked == ["http://example.invalid/a.owl"], "of a host that does not answer nothing else is asked for"
    assert load.load(load.locate(names[0])[0], EvaluationOptions()).loading is None, "it was kept"


def test_a_graph_without_a_main_process_is_all_its_processes(bench):
    one = tool("true") | {"id": "one"}
    two = workflow({}, {}, a=step("#one")) | {"id": "two"}
    path = bench.write("graph.cwl", {"cwlVersion": "v1.2", "$graph": [one, two]})
    assert load.processes_of(path) == (f"{path}#one", f"{path}#two")
    assert load.processes_of(bench.write("tool.cwl", tool("true"))) == ()


def test_outputs_that_an_output_object_does_not_name_are_null(bench):
    from gridcwl.cwl.tool import collect
    from gridcwl.model import JobId, JobResult, Outcome, ProducedFile

    resolved = bench.resolve(tool("true", outputs={"o": "File?", "p": "string?"}))

    written = ProducedFile(
        "cwl.output.json", "file", "file:///x/cwl.output.json", 3, contents=base64.b64encode(b"{}\n").decode()
    )
    result = JobResult(JobId("job-1"), Outcome.SUCCESS, exit_code=0, files=(written,))
    assert collect(resolved, result) == {"o": None, "p": None}


def test_what_cannot_be_drawn_or_filled_in_is_reported(bench):
    from gridcwl.cwl import show
    from gridcwl.cwl.templates import template

    nothing = {"x": {"type": {"type": "array", "items": ["null"]}}}
    path = bench.write("empty.cwl", workflow(nothing, {}))
    document = load.read_document(load.locate(path)[0], EvaluationOptions())
    with pytest.raises(DocumentError, match="it has no steps"):
        show.drawn(document)
    with pytest.raises(DocumentError, match="nothing but null"):
        template(document.process)


def test_an_abstract_operation_is_valid_where_nothing_runs(bench):
    abstract = {"class": "Operation", "inputs": {"text": "string"}, "outputs": {}}
    document = bench.write("doc.cwl", workflow({"text": "string"}, {}, later=step(abstract, text="text")))
    assert gridcwl("--validate", document).code == 0
    assert "GC001" not in gridcwl("lint", document).stdout
    assert gridcwl("--no-container", document, "--text", "x").code == 1


def test_a_workflow_is_drawn_though_its_subworkflows_have_ids_of_their_own(bench):
    makes = tool("touch", "a", outputs={"o": glob("a")})
    reads = tool("cat", inputs={"f": "File"})
    inner = workflow(
        {}, {"o": {"type": "File", "outputSource": "make/o"}}, make=step(makes, "o"), use=step(reads, f="make/o")
    )
    bench.write("inner.cwl", {**inner, "id": "inner"})
    outer = workflow({}, {}, first=step("inner.cwl", "o"), last=step(reads, f="first/o"))
    drawn = gridcwl("--print-dot", bench.write("outer.cwl", outer))
    assert drawn.code == 0, drawn.stderr
    assert '"first" -> "last"' in drawn.stdout


def test_the_linter_names_the_line_of_a_mistake_in_a_path_with_spaces(tmp_path):
    path = tmp_path / "my documents +"
    path.mkdir()
    (path / "doc.cwl").write_text("cwlVersion: v1.2\nclass: CommandLineTool\ninputs: {a: strng}\noutputs: []\n")
    assert f"{path}/doc.cwl:3:10: GC001" in gridcwl("lint", str(path / "doc.cwl")).stdout
