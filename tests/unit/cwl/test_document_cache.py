"""A document that was read and found valid is kept, and taken again only as long as it is the same."""

import logging
import os
import pickle
import subprocess
import sys

import pytest

from gridcwl.cwl import document_cache, load, pickles
from gridcwl.cwl.context import EvaluationOptions
from gridcwl.errors import DocumentError

TOOL = """
cwlVersion: v1.2
class: CommandLineTool
baseCommand: [echo, {word}]
inputs: {{$import: inputs.yml}}
outputs: []
"""
WORKFLOW = """
cwlVersion: v1.2
class: Workflow
inputs: {x: string}
outputs: []
steps:
  say: {run: tool.cwl, in: {x: x}, out: []}
"""


@pytest.fixture(autouse=True)
def _own_cache(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))


@pytest.fixture
def document(tmp_path):
    """A workflow of three files."""
    (tmp_path / "tool.cwl").write_text(TOOL.format(word="first"))
    (tmp_path / "inputs.yml").write_text("- {id: x, type: string}\n")
    path = tmp_path / "workflow.cwl"
    path.write_text(WORKFLOW)
    return path


def loaded(path, **options):
    return load.load(load.locate(str(path))[0], EvaluationOptions(**options))


def was_kept(document) -> bool:
    """Only a document that was read has what it was read with."""
    return document.loading is None


def word(document) -> str:
    (step,) = document.process.steps
    return step.embedded_tool.tool["baseCommand"][1]


def test_the_second_time_it_is_not_read(document):
    first = loaded(document)
    second = loaded(document)
    assert not was_kept(first)
    assert was_kept(second)
    assert word(second) == "first"
    assert second.files == first.files == tuple(sorted(str(document.parent / name) for name in second_names()))


def second_names():
    return "inputs.yml", "tool.cwl", "workflow.cwl"


@pytest.mark.parametrize("name", second_names())
def test_a_file_of_it_that_was_touched_without_a_change_is_no_change(document, name):
    loaded(document)
    path = document.parent / name
    path.write_text(path.read_text())
    assert was_kept(loaded(document))


def test_a_tool_that_was_edited_is_seen(document):
    loaded(document)
    (document.parent / "tool.cwl").write_text(TOOL.format(word="second"))
    assert word(loaded(document)) == "second"


def test_an_imported_file_that_was_edited_is_seen(document):
    loaded(document)
    (document.parent / "inputs.yml").write_text("- {id: x, type: string}\n- {id: y, type: int?}\n")
    (step,) = loaded(document).process.steps
    assert [parameter["id"].rpartition("/")[2] for parameter in step.embedded_tool.tool["inputs"]] != ["x"]


def test_an_included_file_that_was_edited_is_seen(tmp_path):
    library = tmp_path / "library.js"
    library.write_text("var a = 1;")
    path = tmp_path / "tool.cwl"
    path.write_text(
        "{cwlVersion: v1.2, class: CommandLineTool, baseCommand: 'true', inputs: [], outputs: [], requirements: "
        "{InlineJavascriptRequirement: {expressionLib: [{$include: library.js}]}}}"
    )
    loaded(path)
    assert was_kept(loaded(path))
    library.write_text("var a = 2;")
    requirement, _ = loaded(path).process.get_requirement("InlineJavascriptRequirement")
    assert requirement["expressionLib"] == ["var a = 2;"]


def test_a_file_of_it_that_has_gone_is_reported(document):
    loaded(document)
    (document.parent / "tool.cwl").unlink()
    with pytest.raises(DocumentError, match=r"tool\.cwl"):
        loaded(document)


def test_a_document_that_became_wrong_is_reported_with_its_line(document):
    loaded(document)
    document.write_text(WORKFLOW.replace("out: []", "out: []\n  \n  again: {run: tool.cwl, in: {x: nowhere}, out: []}"))
    with pytest.raises(DocumentError, match=r"workflow\.cwl:\d+:\d+"):
        loaded(document)


def test_a_wrong_document_is_reported_each_time(tmp_path):
    path = tmp_path / "wrong.cwl"
    path.write_text("cwlVersion: v1.2\nclass: CommandLineTool\nbaseComand: x\ninputs: []\noutputs: []\n")
    for _ in range(2):
        with pytest.raises(DocumentError, match=r"wrong\.cwl:3:1"):
            loaded(path)


def test_a_warning_is_reported_each_time(document, caplog):
    (document.parent / "tool.cwl").write_text(TOOL.format(word="first") + "hints: {Unheard: {}}\n")
    caplog.set_level(logging.WARNING)
    for name in ("cwltool", "salad"):
        logging.getLogger(name).addHandler(caplog.handler)
    try:
        for _ in range(2):
            caplog.clear()
            document_again = loaded(document)
            assert "Unheard" in caplog.text
        assert was_kept(document_again)
    finally:
        for name in ("cwltool", "salad"):
            logging.getLogger(name).removeHandler(caplog.handler)


def test_other_options_are_another_document(document):
    loaded(document)
    assert not was_kept(loaded(document, strict=False))
    assert was_kept(loaded(document))


def test_overrides_and_requirements_are_part_of_what_is_kept(document):
    uri = load.locate(str(document))[0]
    wanted = [{"class": "ResourceRequirement", "coresMin": 2}]
    load.load(uri, EvaluationOptions())
    changed = load.load(uri, EvaluationOptions(), run_requirements=wanted)
    assert not was_kept(changed)
    assert changed.process.get_requirement("ResourceRequirement")[0]["coresMin"] == 2


def kept_files(tmp_path):
    return list((tmp_path / "cache" / "gridcwl" / "documents").iterdir())


@pytest.mark.parametrize(
    "damage",
    [b"", b"not a pickle", pickle.dumps(42), pickle.dumps((1, 2)), pickle.dumps((document_cache.Reading(), b"x"))],
)
def test_a_damaged_file_in_the_cache_is_ignored(document, tmp_path, damage):
    loaded(document)
    (file,) = kept_files(tmp_path)
    file.write_bytes(damage)
    assert word(loaded(document)) == "first"
    assert was_kept(loaded(document)), "it was cached again"


def test_half_a_file_in_the_cache_is_ignored(document, tmp_path):
    loaded(document)
    (file,) = kept_files(tmp_path)
    file.write_bytes(file.read_bytes()[:-100])
    assert word(loaded(document)) == "first"


def test_a_file_in_the_cache_that_others_may_write_is_not_read(document, tmp_path):
    loaded(document)
    (file,) = kept_files(tmp_path)
    file.chmod(0o666)
    assert not was_kept(loaded(document))


def test_what_another_version_kept_is_ignored(document, monkeypatch):
    loaded(document)
    monkeypatch.setattr(pickles, "__version__", "0.0.0+another")
    assert not was_kept(loaded(document))


def test_a_cache_folder_that_cannot_be_made_only_costs_time(document, tmp_path, monkeypatch):
    (tmp_path / "file").touch()
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "file"))
    assert word(loaded(document)) == "first"
    assert not was_kept(loaded(document))


def test_what_was_kept_longest_ago_goes(tmp_path):
    for number in range(10):
        path = tmp_path / str(number)
        path.touch()
        os.utime(path, (number, number))
    pickles.clear_out(tmp_path, 6)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["7", "8", "9"]


def test_an_ontology_is_kept_with_the_document(tmp_path):
    (tmp_path / "formats.ttl").write_text(
        "@prefix rdfs: <http://www.w3.org/2000/01/rdf-schema#> .\n"
        "<http://example.org/special> rdfs:subClassOf <http://example.org/general> .\n"
    )
    path = tmp_path / "tool.cwl"
    path.write_text(
        "{cwlVersion: v1.2, class: CommandLineTool, baseCommand: 'true', outputs: [], $schemas: [formats.ttl], "
        "inputs: {f: {type: File, format: 'http://example.org/general'}}}"
    )
    read_graph = loaded(path).process.formatgraph
    again = loaded(path)
    assert was_kept(again)
    from cwl_utils.file_formats import formatSubclassOf

    for graph in (read_graph, again.process.formatgraph):
        assert formatSubclassOf("http://example.org/special", "http://example.org/general", graph, set())


def test_a_second_run_needs_no_library_for_http_or_rdf(document):
    loaded(document)
    program = (
        "import sys; from gridcwl.cwl import load; from gridcwl.cwl.context import EvaluationOptions\n"
        f"assert load.load(load.locate({str(document)!r})[0], EvaluationOptions()).loading is None\n"
        "print(sorted({'requests', 'rdflib', 'prov', 'cachecontrol', 'rich'} & sys.modules.keys()))"
    )
    result = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert result.stdout == "[]\n"


def test_what_stands_in_for_a_library_gives_way_to_it():
    program = (
        "import gridcwl.cwl, cwltool.builder as builder, cwltool.cwlprov.provenance_profile as profile\n"
        "from rdflib import Graph; from prov.identifier import Namespace; import cwltool.docker, requests\n"
        "assert isinstance(builder.Graph(), Graph) and builder.Graph is Graph\n"
        "assert str(profile.WFPROV['Artifact']) == 'wfprov:Artifact' and isinstance(profile.WFPROV, Namespace)\n"
        "assert cwltool.docker.requests.get is requests.get"
    )
    subprocess.run([sys.executable, "-c", program], check=True)
