"""Symbols of enums: taken, given and shown as the document writes them."""

from __future__ import annotations

import base64
import json

import pytest
from documents import step, tool, workflow

from gridcwl.cwl import load
from gridcwl.cwl.context import EvaluationOptions
from gridcwl.cwl.templates import template
from gridcwl.cwl.tool import collect
from gridcwl.errors import InputError
from gridcwl.model import JobId, JobResult, Outcome, ProducedFile

SYMBOLS = ["a/b", "edam:format_1", "http://x.org/y", "x#y", "two words", "-", "3", "ä", "c/b"]
ENUM = {"type": "enum", "symbols": SYMBOLS}
EDAM = {"$namespaces": {"edam": "http://edamontology.org/"}}
PLACES = {
    "inline": (ENUM, lambda symbol: symbol),
    "optional": (["null", ENUM], lambda symbol: symbol),
    "array": ({"type": "array", "items": ENUM}, lambda symbol: [symbol, *SYMBOLS]),
    "record": ({"type": "record", "fields": {"k": {"type": ENUM}}}, lambda symbol: {"k": symbol}),
    "named": ("#kind", lambda symbol: symbol),
    "one or several": (["#kind", "#kind[]"], lambda symbol: [symbol]),
}


def named(**fields):
    types = {"SchemaDefRequirement": {"types": [ENUM | {"name": "kind"}]}}
    return fields | {"requirements": types} | EDAM


@pytest.mark.parametrize("symbol", ["a/b", "format_1"])
@pytest.mark.parametrize("kind", PLACES)
def test_an_input_object_has_symbols_as_the_document_has_them_or_as_cwltool_does(bench, kind, symbol):
    written, value = PLACES[kind]
    document = tool("echo", inputs={"e": {"type": written}}, **named())
    session = bench.open(document, bench.write("in.json", {"e": value(symbol)}))
    assert session.inputs()["e"] == value(symbol)


def test_another_symbol_is_refused_with_all_that_there_are(bench):
    document = tool("echo", inputs={"e": {"type": ENUM}}, **EDAM)
    with pytest.raises(InputError, match=r"'e' is 'a/c', which is not one of a/b, edam:format_1, http://x\.org/y, x#y"):
        bench.resolve(document, bench.write("in.yml", {"e": "a/c"}))


def test_a_default_and_a_link_between_steps_may_be_any_symbol(bench):
    makes = tool("true", inputs={"e": {"type": ENUM, "default": "a/b"}}, outputs={"o": {"type": ENUM}}, **EDAM)
    session = bench.open(workflow({}, {}, make=step(makes, "o"), read=step(makes, e="make/o")))
    assert session.inputs() == {}


def test_an_output_may_be_any_symbol(bench):
    kind = {"type": "array", "items": ENUM}
    resolved = bench.resolve(tool("true", outputs={"o": {"type": kind}}, **EDAM))
    contents = base64.b64encode(json.dumps({"o": SYMBOLS}).encode()).decode()
    written = ProducedFile("cwl.output.json", "file", "file:///x/cwl.output.json", 3, contents=contents)
    result = JobResult(JobId("job-1"), Outcome.SUCCESS, exit_code=0, files=(written,))
    assert collect(resolved, result) == {"o": SYMBOLS}


@pytest.mark.parametrize("symbol", ["a/b", "edam:format_1", "format_1", "b"])
def test_an_option_takes_the_symbol_too(bench, symbol):
    document = tool("echo", inputs={"e": {"type": ENUM}}, **EDAM)
    assert bench.open(document, "--e", symbol).inputs() == {"e": symbol}


def test_a_document_that_was_kept_knows_its_symbols(bench, monkeypatch, tmp_path):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    document = tool("echo", inputs={"e": {"type": ENUM}}, **EDAM)
    for _ in range(2):
        assert bench.open(document, bench.write("in.yml", {"e": "a/b"})).inputs() == {"e": "a/b"}


def test_a_template_spells_types_out(bench):
    inputs = {name: {"type": written} for name, (written, _) in PLACES.items() if " " not in name}
    path = bench.write("doc.cwl", tool("echo", inputs=inputs, **named()))
    text = template(load.read_document(load.locate(path)[0], EvaluationOptions()).process)
    assert '"a/b", "edam:format_1", "http://x.org/y", "x#y", "two words"' in text
    assert "file:" not in text
    assert "{" not in text
    session = bench.open(tool("echo", inputs=inputs, **named()), bench.write("in.yml", text))
    assert session.inputs()["named"] == "a/b"
