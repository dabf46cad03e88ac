"""Files of any name, files that are only written down, and types within types: where cwltool falls over."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from commandline import CommandResult, gridcwl
from documents import Desk, glob, on_command_line, shell, step, tool, workflow

NAMES = [
    "a b.txt",
    "a#b.txt",
    "a%b.txt",
    "a%20b.txt",
    "a?b.txt",
    "\N{LATIN SMALL LETTER E WITH ACUTE}.txt",
    "d #%3F?/x#y.txt",
]
ENUM = {"type": "enum", "symbols": ["a", "b"]}
LITERAL = {"class": "File", "basename": "l.txt", "contents": "abc"}


def run(desk: Desk, document: object, inputs: object) -> CommandResult:
    desk.write("doc.cwl", document)  # type: ignore[arg-type]
    desk.write("in.json", inputs)  # type: ignore[arg-type]
    result = gridcwl("--quiet", "--no-container", "--outdir", str(desk.outdir), "doc.cwl", "in.json")
    assert result.code == 0, result.stderr
    return result


def text(file: dict[str, str]) -> str:
    return Path(file["path"]).read_text()


@pytest.mark.parametrize("name", NAMES)
def test_a_file_of_any_name_brings_its_secondary_file_through_a_workflow(desk: Desk, name: str) -> None:
    both = {"type": "File", "secondaryFiles": [".idx"]}
    copy = shell(
        'cat "$0" "$0.idx"; cp "$0" "$0.idx" .',
        inputs={"f": on_command_line("File", position=1) | {"secondaryFiles": [".idx"]}},
        outputs={"o": "stdout", "f": glob("$(inputs.f.basename)", secondaryFiles=[".idx"])},
        stdout="o.out",
    )
    outputs = {"o": {"type": "File", "outputSource": "u/o"}, "f": both | {"outputSource": "u/f"}}
    document = workflow({"f": both}, outputs, s=step(copy, "o f", f="f"), u=step(copy, "o f", f="s/f"))
    desk.write(name, "text\n")
    desk.write(f"{name}.idx", "index\n")
    result = run(desk, document, {"f": {"class": "File", "path": name}})
    assert text(result.outputs["o"]) == "text\nindex\n"
    assert Path(result.outputs["f"]["path"]).name == Path(name).name
    assert [Path(file["path"]).name for file in result.outputs["f"]["secondaryFiles"]] == [Path(f"{name}.idx").name]


def test_a_literal_file_goes_through_a_tool_and_into_the_next(desk: Desk) -> None:
    through = {"b": {"type": "File", "outputBinding": {"outputEval": "$(inputs.r)"}}}
    cat = tool("cat", inputs={"f": on_command_line("File")}, outputs={"o": "stdout"}, stdout="o.txt")
    outputs = {"b": {"type": "File", "outputSource": "s/b"}, "o": {"type": "File", "outputSource": "u/o"}}
    s = step(tool("true", inputs={"r": "File"}, outputs=through), "b", r="r")
    result = run(desk, workflow({"r": "File"}, outputs, s=s, u=step(cat, "o", f="s/b")), {"r": LITERAL})
    assert (Path(result.outputs["b"]["path"]).name, text(result.outputs["b"]), text(result.outputs["o"])) == (
        "l.txt",
        "abc",
        "abc",
    )


def test_contents_of_a_literal_file_are_loaded(desk: Desk) -> None:
    loads = tool(
        "echo",
        inputs={"r": {"type": "File", "loadContents": True}},
        arguments=["$(inputs.r.contents)"],
        outputs={"o": "stdout"},
        stdout="o.txt",
    )
    assert text(run(desk, loads, {"r": LITERAL}).outputs["o"]) == "abc\n"


@pytest.mark.parametrize("value", ["a", ["b", "a"]])
def test_an_enum_or_an_array_of_it(desk: Desk, value: object) -> None:
    kind = ["null", ENUM, {"type": "array", "items": ["null", ENUM]}]
    document = tool("echo", inputs={"e": on_command_line(kind)}, outputs={"o": "stdout"}, stdout="o.txt")
    assert text(run(desk, document, {"e": value}).outputs["o"]).split() == list(value)  # type: ignore[call-overload]


def test_the_checksum_of_what_a_glob_found_is_known_to_output_eval(desk: Desk) -> None:
    binding = {"glob": "o.txt", "outputEval": "$(self[0].checksum)"}
    document = shell("printf x > o.txt", outputs={"sum": {"type": "string", "outputBinding": binding}})
    assert run(desk, document, {}).outputs["sum"] == "sha1$11f6ad8ec52a2984abaafd7c3b516503785c2072"


@pytest.mark.parametrize(
    "written",
    [[{"class": "EnvVarRequirement", "envDef": {"WHO": "me"}}], {"EnvVarRequirement": {"envDef": {"WHO": "me"}}}],
)
def test_requirements_in_the_input_object_hold_for_every_step(desk: Desk, written: object) -> None:
    says = shell(
        "echo $WHO", outputs={"o": "stdout"}, stdout="o.txt", hints={"EnvVarRequirement": {"envDef": {"WHO": "you"}}}
    )
    document = workflow({}, {"o": {"type": "File", "outputSource": "s/o"}}, s=step(says, "o"))
    assert text(run(desk, document, {"cwl:requirements": written}).outputs["o"]) == "me\n"


def test_an_unknown_requirement_in_the_input_object_is_refused(desk: Desk) -> None:
    desk.write("doc.cwl", tool("true"))
    desk.write("in.yml", "cwl:requirements: [{class: EnvVarRequirment}]\n")
    result = gridcwl("--no-container", "doc.cwl", "in.yml")
    assert result.code == 33
    assert (
        "in.yml:1:20: the requirement EnvVarRequirment in cwl:requirements in the input object is not supported"
        in result.stderr
    )


@pytest.mark.parametrize("way", ["cwl:requirements", "cwltool:overrides"])
@pytest.mark.parametrize(
    ("body", "why"),
    [
        ("{class: EnvVarRequirement, envDef: 3}", "'envDef' is 3"),
        ("{class: EnvVarRequirement}", "the field 'envDef' is missing"),
        ("{class: ResourceRequirement, coresMin: {a: b}}", "'coresMin' is a mapping"),
    ],
)
def test_a_requirement_in_the_input_object_that_is_written_wrongly_is_one_error(
    desk: Desk, way: str, body: str, why: str
) -> None:
    written = f"[{body}]" if way == "cwl:requirements" else f"{{tool.cwl: {{requirements: [{body}]}}}}"
    desk.write("in.yml", f"{way}: {written}\n")
    result = gridcwl("--no-container", desk.write("tool.cwl", tool("true")), "in.yml")
    assert result.code == 1
    assert (
        f"the {way} in the input object are not valid: {body.partition(': ')[2].split(',')[0].strip('}')}"
        in result.stderr
    )
    assert why in result.stderr
    assert "in.yml:1:" in result.stderr
    assert "resume" not in result.stderr  # nothing was begun
    assert len(result.errors) == 2


def test_a_number_that_is_too_large_to_be_one_is_reported(desk: Desk) -> None:
    desk.write("doc.cwl", tool("echo", inputs={"n": on_command_line("double")}))
    desk.write("in.yml", "n: 1e400\n")
    result = gridcwl("--no-container", "doc.cwl", "in.yml")
    assert result.code == 1
    assert "too large" in result.stderr


def test_what_a_failed_tool_left_is_kept_with_the_run_and_a_missing_output_reports_what_is_there(desk: Desk) -> None:
    left = shell("echo x > a.txt; exit 3", outputs={"a": glob("a.txt"), "b": glob("b.txt", "File?")})
    desk.write("doc.cwl", left)
    result = gridcwl("--no-container", "--outdir", str(desk.outdir), "doc.cwl")
    assert result.code == 1
    assert result.outputs == {}
    (file,) = json.loads(gridcwl("data", "last", "--json").stdout)["files"]
    assert (file["state"], Path(file["path"]).read_text()) == ("failed job", "x\n")
    desk.write("doc.cwl", shell("mkdir d; touch a.txt", outputs={"b": glob("b.txt")}))
    assert "The tool left: a.txt, d/." in gridcwl("--no-container", "doc.cwl").stderr


def test_options_for_all_may_stand_before_a_command(desk: Desk) -> None:
    state = f"--state-dir={desk.folder}/state"
    assert gridcwl("--no-container", state, desk.write("doc.cwl", tool("true"))).code == 0
    assert gridcwl("--quiet", state, "resume", "last").outputs == {}
    assert "doc.cwl" in gridcwl("--verbose", "--state-dir", f"{desk.folder}/state", "runs").stdout
