"""Inputs as command-line options: names, booleans, arrays, enums, and the input object among them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from documents import Desk, step, tool, workflow

from gridcwl.cwl.context import EvaluationOptions
from gridcwl.cwl.session import open_document
from gridcwl.errors import InputError, UsageError


@pytest.fixture
def desk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Desk:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    return Desk(tmp_path)


def has_default(kind: Any) -> bool:
    return isinstance(kind, dict) and "default" in kind


def read(desk: Desk, inputs: Any, *words: str, **fields: Any) -> dict[str, Any]:
    """The whole input object of a tool with these inputs."""
    parameters = {name: kind if has_default(kind) else {"type": kind} for name, kind in inputs.items()}
    desk.write("t.cwl", tool("true", inputs=parameters, **fields))
    return open_document("t.cwl", words, EvaluationOptions(), basedir=None, overrides=None).inputs()


def wrong(desk: Desk, inputs: Any, *words: str) -> str:
    with pytest.raises((UsageError, InputError)) as caught:
        read(desk, inputs, *words)
    return str(caught.value)


def shown(desk: Desk, inputs: Any, capsys: pytest.CaptureFixture[str], *words: str) -> str:
    with pytest.raises(SystemExit) as ended:
        read(desk, inputs, *(words or ("--help",)))
    assert ended.value.code == 0
    return capsys.readouterr().out


AWKWARD = ["outdir", "version", "job_order", "generate-help-preview", "a-b", "a_b", "no-on", "on", "x.y", "H", "config"]


@pytest.mark.parametrize("name", AWKWARD)
def test_an_input_may_have_any_name(desk: Desk, name: str) -> None:
    others = dict.fromkeys(AWKWARD, "string?")
    given = read(desk, others, f"--{name}", "x", f"--{name}=y")
    assert {key: value for key, value in given.items() if value is not None} == {name: "y"}


def test_inputs_called_help_and_h_are_spelled_as_help_shows_them(
    desk: Desk, capsys: pytest.CaptureFixture[str]
) -> None:
    inputs = {"help": "string", "h": "int"}
    text = shown(desk, inputs, capsys)
    assert "--input-help" in text
    assert "--h H" in text
    assert read(desk, inputs, "--input-help", "x", "--h", "2") == {"help": "x", "h": 2}
    assert shown(desk, inputs, capsys, "-h") == text


def test_an_input_of_one_letter_may_have_one_dash(desk: Desk) -> None:
    assert read(desk, {"n": "int"}, "-n", "-3") == {"n": -3}
    assert read(desk, {"n": "int"}, "--n", "-3") == {"n": -3}


@pytest.mark.parametrize(
    ("words", "value"),
    [
        ([], True),
        (["--on"], True),
        (["--no-on"], False),
        (["--on=false"], False),
        (["--on", "false"], False),
        (["--on=True"], True),
        (["--no-on", "--on"], True),
    ],
)
def test_a_boolean_can_be_turned_on_and_off(desk: Desk, words: list[str], value: bool) -> None:
    assert read(desk, {"on": {"type": "boolean", "default": True}}, *words) == {"on": value}


def test_a_word_behind_a_boolean_is_refused_with_what_it_takes(desk: Desk) -> None:
    inputs = {"on": "boolean", "name": "string?"}
    assert "--on takes true or false, not 'maybe'" in wrong(desk, inputs, "--on", "maybe")
    assert "--on takes true or false, not '1'" in wrong(desk, inputs, "--on", "1", "--name", "x")


def test_a_boolean_does_not_swallow_the_input_object(desk: Desk) -> None:
    desk.write("in.yml", "x: 1\n")
    assert read(desk, {"on": "boolean", "x": "int"}, "--on", "in.yml") == {"on": True, "x": 1}
    assert "--on: maybe is not true or false" in wrong(desk, {"on": "boolean"}, "--on=maybe")


@pytest.mark.parametrize(
    ("kind", "words", "value"),
    [
        ("int[]", ["--n", "1", "2", "--n=3"], [1, 2, 3]),
        ("string[]?", ["--n", "a"], ["a"]),
        ("boolean[]", ["--n", "true", "false"], [True, False]),
        (["null", "int", {"type": "array", "items": "int"}], ["--n", "1"], 1),
        (["null", "int", {"type": "array", "items": "int"}], ["--n", "1", "--n", "2"], [1, 2]),
        ({"type": "array", "items": {"type": "array", "items": "int"}}, ["--n", "[1, 2]", "[3]"], [[1, 2], [3]]),
        ({"type": "array", "items": ["int", "string"]}, ["--n", "1", "x"], [1, "x"]),
    ],
)
def test_an_array_takes_several_values(desk: Desk, kind: Any, words: list[str], value: Any) -> None:
    assert read(desk, {"n": kind}, *words) == {"n": value}


def test_files_of_an_array_may_be_what_a_shell_made_of_a_pattern(desk: Desk) -> None:
    for name in ("run1.txt", "run2.txt", "a.json", "b.json"):
        desk.write(name, "{}")
    desk.write("in.yml", "x: 1\n")
    inputs = {"runs": "File[]", "x": "int?"}

    def names(*words: str) -> tuple[list[str], Any]:
        given = read(desk, inputs, *words)
        return [file["basename"] for file in given["runs"]], given.get("x")

    assert names("--runs", "run1.txt", "run2.txt") == (["run1.txt", "run2.txt"], None)
    assert names("--runs", "run1.txt", "run2.txt", "in.yml") == (["run1.txt", "run2.txt"], 1)
    assert names("in.yml", "--runs", "run1.txt") == (["run1.txt"], 1)
    assert names("--runs", "run1.txt", "--x", "2") == (["run1.txt"], 2)
    assert names("--runs", "a.json", "b.json") == (["a.json", "b.json"], None)


def test_numbers_end_where_the_input_object_begins(desk: Desk) -> None:
    desk.write("in.yml", "x: a\n")
    assert read(desk, {"n": "int[]", "x": "string"}, "--n", "1", "2", "in.yml") == {"n": [1, 2], "x": "a"}


@pytest.mark.parametrize(
    ("kind", "text", "value"),
    [
        ("Any", "{a: [1, x]}", {"a": [1, "x"]}),
        (["int", "string"], "5", 5),
        (["int", "string"], "five", "five"),
        (["string", "boolean"], "true", True),
        ("double", "1e3", 1000.0),
        ("long", "-12345678901", -12345678901),
        ({"type": "record", "name": "r", "fields": {"a": "int"}}, "{a: 1}", {"a": 1}),
    ],
)
def test_every_type_has_an_option(desk: Desk, kind: Any, text: str, value: Any) -> None:
    assert read(desk, {"given": kind}, f"--given={text}") == {"given": value}


@pytest.mark.parametrize(
    ("kind", "text", "said"),
    [
        ("int", "1.5", "1.5 is not a whole number"),
        ("float", "x", "x is not a number"),
        ("int[]", "x", "x is not a whole number"),
        ({"type": "record", "name": "r", "fields": {"a": "int"}}, "5", "5 is not a record"),
        ({"type": "enum", "symbols": ["left", "right"]}, "lefft", "Did you mean left?"),
        ({"type": "enum", "symbols": ["a/b", "x"]}, "c", "c is not one of a/b, x"),
    ],
)
def test_a_value_of_another_type_is_refused(desk: Desk, kind: Any, text: str, said: str) -> None:
    assert said in wrong(desk, {"given": kind}, f"--given={text}")


def test_fields_of_a_record_go_over_those_of_the_input_object(desk: Desk) -> None:
    desk.write("in.yml", "pair: {x: 1, y: {z: a}}\n")
    inner = {"type": "record", "name": "inner", "fields": {"z": "string"}}
    inputs = {"pair": {"type": "record", "name": "pair", "fields": {"x": "int", "y": {"type": inner}}}}
    assert read(desk, inputs, "--pair.y.z", "b", "in.yml") == {"pair": {"x": 1, "y": {"z": "b"}}}


@pytest.mark.parametrize("name", ["a#b.txt", "a%20b.txt", "100%.txt", "a:b.txt", "a b.txt", "ä?.txt"])
def test_a_file_may_have_any_name(desk: Desk, name: str) -> None:
    desk.write(name, "12345")
    given = read(desk, {"f": "File"}, "--f", name)
    assert (given["f"]["basename"], given["f"]["size"]) == (name, 5)


def test_symbols_are_shown_as_the_document_has_them(desk: Desk, capsys: pytest.CaptureFixture[str]) -> None:
    kind = {"type": "enum", "symbols": ["a/b", "edam:format", "plain"]}
    desk.write(
        "t.cwl", tool("true", inputs={"e": {"type": kind}}, **{"$namespaces": {"edam": "http://edamontology.org/"}})
    )
    with pytest.raises(SystemExit):
        open_document("t.cwl", ["--help"], EvaluationOptions(), basedir=None, overrides=None)
    assert "{a/b,edam:format,plain}" in capsys.readouterr().out


def test_what_is_not_an_option_is_reported_with_what_may_be_meant(desk: Desk) -> None:
    assert "Did you mean --name?" in wrong(desk, {"name": "string"}, "--nmae=x")
    assert "There is no input zzz in t.cwl" in wrong(desk, {"name": "string"}, "--zzz", "1")
    assert "--name needs a value" in wrong(desk, {"name": "string"}, "--name")
    assert "write --name=-x" in wrong(desk, {"name": "string"}, "--name", "-x")
    assert "There are 2 input objects: a, b" in wrong(desk, {"name": "string"}, "a", "b")


def test_requirements_of_the_input_object_apply_in_addition_to_options(desk: Desk) -> None:
    desk.write("req.yml", "cwl:requirements:\n  EnvVarRequirement: {envDef: {A: b}}\ny: 2\n")
    desk.write("t.cwl", tool("true", inputs={"x": "int", "y": "int"}))
    for words in (["req.yml", "--x", "1"], ["--x", "1", "req.yml"]):
        session = open_document("t.cwl", words, EvaluationOptions(), basedir=None, overrides=None)
        assert session.inputs() == {"x": 1, "y": 2}
        assert session.document.process.get_requirement("EnvVarRequirement")[0] is not None


OVER = {"requirements": {"EnvVarRequirement": {"envDef": {"A": "b"}}}}


def overridden(desk: Desk, key: str, *words: str) -> list[str]:
    """What has the overriding requirement, by name."""
    inner = workflow({}, {}, deep=step("t.cwl"))
    desk.write("t.cwl", tool("true"))
    desk.write("inner.cwl", inner)
    document = workflow(
        {}, {}, one={"run": "t.cwl", "in": {}, "out": []}, two={"run": "inner.cwl", "in": {}, "out": []}
    )
    desk.write("w.cwl", document)
    desk.write("over.yml", json.dumps({"cwltool:overrides": {key: OVER}}))
    session = open_document("w.cwl", words, EvaluationOptions(), basedir=None, overrides=None if words else "over.yml")
    two = next(step for step in session.document.process.steps if step.id.endswith("two"))
    one = next(step for step in session.document.process.steps if step.id.endswith("one"))
    every = {"one": one.embedded_tool, "two": two.embedded_tool, "two/deep": two.embedded_tool.steps[0].embedded_tool}
    return [name for name, process in every.items() if process.get_requirement("EnvVarRequirement")[0] is not None]


@pytest.mark.parametrize(
    ("key", "where"),
    [
        ("t.cwl", ["one", "two/deep"]),
        ("#one", ["one"]),
        ("one", ["one"]),
        ("w.cwl#one", ["one"]),
        ("two/deep", ["two/deep"]),
        ("inner.cwl#deep", ["two/deep"]),
        ("two", ["two", "two/deep"]),
        ("w.cwl", ["one", "two", "two/deep"]),
    ],
)
def test_overrides_are_for_files_and_for_steps(desk: Desk, key: str, where: list[str]) -> None:
    assert overridden(desk, key) == where


@pytest.mark.parametrize("words", [[], ["over.yml"]])
def test_overrides_for_nothing_are_refused_with_the_names_there_are(desk: Desk, words: list[str]) -> None:
    with pytest.raises(InputError) as caught:
        overridden(desk, "#onne", *words)
    assert "onne, which is no process and no step" in str(caught.value)
    assert "Did you mean one" in str(caught.value)
    assert "two/deep" in str(caught.value)
    assert "t.cwl" in str(caught.value)


def test_colons_in_paths_are_no_prefixes(
    desk: Desk, capsys: pytest.CaptureFixture[str], caplog: pytest.LogCaptureFixture
) -> None:
    desk.write("x:y.txt", "12345")
    desk.write("a:b.yml", "f: {class: File, path: 'x:y.txt'}\ng: {class: File, location: 'x:y.txt'}\n")
    default = {"type": "File", "default": {"class": "File", "path": "x:y.txt"}}
    given = read(desk, {"f": "File", "g": "File", "h": default}, "a:b.yml")
    assert [given[name]["basename"] for name in "fgh"] == ["x:y.txt"] * 3
    assert "$namespaces section" not in caplog.text + capsys.readouterr().err
