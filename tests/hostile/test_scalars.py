"""Numbers and texts that are none: refused where they come in, and never printed as broken JSON."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from commandline import gridcwl
from documents import Desk, expression, shell, workflow


@pytest.fixture
def desk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Desk:
    monkeypatch.chdir(tmp_path)
    return Desk(tmp_path)


@pytest.mark.parametrize(
    ("value", "kind", "words"),
    [
        ("NaN", "float", "NaN, which JSON does not have"),
        ("-Infinity", "float", "-Infinity, which JSON does not have"),
        ("1e999", "Any", "Infinity, which JSON does not have"),
        ('"a\\ud800b"', "string", r"is not Unicode"),
        ('{"k\\udbff": [1]}', "Any", r"has text that is not Unicode"),
    ],
)
def test_an_output_object_that_is_not_json_is_refused(desk: Desk, value: str, kind: str, words: str):
    text = f'{{"o": {value}}}'
    desk.write("doc.cwl", shell(f"printf %s '{text}' > cwl.output.json", outputs={"o": kind}))
    result = gridcwl("--no-container", "doc.cwl")
    assert result.code == 1
    assert words in result.stderr
    assert "internal error" not in result.stderr


@pytest.mark.node
def test_an_expression_that_gives_half_a_character_is_refused(desk: Desk):
    desk.write("doc.cwl", expression("${return {o: 'a\\ud800'};}", {}, {"o": "string"}))
    result = gridcwl("doc.cwl")
    assert result.code == 1
    assert "has text that is not Unicode" in result.stderr


def test_an_input_object_with_half_a_character_is_refused(desk: Desk):
    desk.write("doc.cwl", shell("true", inputs={"s": "string"}))
    for padding in ("", "x" * 10_000):
        desk.write("in.json", json.dumps({"s": f"{padding}\ud83d"}))
        result = gridcwl("--no-container", "doc.cwl", "in.json")
        assert result.code == 1
        assert "A text of the input object is not Unicode" in result.stderr


def test_numbers_that_json_does_not_have_are_printed_as_json_all_the_same(desk: Desk):
    names = ("big", "small", "none", "text")
    kinds = dict.fromkeys(names[:3], "float") | {"text": "string"}
    desk.write("doc.cwl", workflow(kinds, {f"o_{n}": {"type": kinds[n], "outputSource": n} for n in names}))
    desk.write("in.yml", "big: .inf\nsmall: -.inf\nnone: .nan\ntext: Infinity\n")
    result = gridcwl("doc.cwl", "in.yml")
    assert result.code == 0, result.stderr
    outputs = json.loads(result.stdout, parse_constant=lambda name: pytest.fail(f"{name} is not JSON"))
    assert outputs == {"o_big": float("inf"), "o_small": float("-inf"), "o_none": None, "o_text": "Infinity"}
