"""Options, inputs by options, and what is printed instead of a run."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path

import pytest
from commandline import gridcwl
from documents import ECHO, Desk, expression, glob, on_command_line, shell, step, tool, workflow
from ruamel.yaml import YAML

import gridcwl as package

KINDS = {
    "a": "string",
    "number": {"type": "int?", "default": 7, "doc": "How many."},
    "flag": {"type": "boolean", "default": False},
    "many": "string[]?",
    "file": "File?",
    "folder": "Directory?",
    "pair": {
        "type": ["null", {"type": "record", "name": "pair", "fields": {"x": "int", "y": "string"}}],
    },
}
MIRROR = expression("${ return {seen: inputs}; }", KINDS, {"seen": "Any"})


@pytest.fixture
def mirror(desk: Desk) -> str:
    """A document that gives back its inputs."""
    return desk.write("mirror.cwl", MIRROR)


def test_help_of_a_document_lists_its_inputs(mirror: str) -> None:
    result = gridcwl(mirror, "--help")
    assert result.code == 0
    for name in ("--a A", "--number", "How many.", "--flag", "--many", "--file", "--folder", "--pair.x"):
        assert name in result.stdout
    assert result.stderr == ""


def test_inputs_are_options(desk: Desk, mirror: str) -> None:
    desk.write("data.txt", "12345")
    (desk.folder / "d").mkdir()
    words = "--a=x --flag --many=one --many=two --file=data.txt --folder=d --pair.x=1 --pair.y=z"
    result = gridcwl(mirror, *words.split())
    assert result.code == 0, result.stderr
    seen = result.outputs["seen"]
    assert (seen["a"], seen["number"], seen["flag"], seen["many"]) == ("x", 7, True, ["one", "two"])
    assert seen["pair"] == {"x": 1, "y": "z"}
    assert (seen["file"]["basename"], seen["file"]["size"]) == ("data.txt", 5)
    assert (seen["folder"]["class"], seen["folder"]["basename"]) == ("Directory", "d")


def test_paths_in_options_count_from_basedir(desk: Desk, mirror: str) -> None:
    desk.write("deep/data.txt", "x")
    result = gridcwl("--basedir=deep", mirror, "--a=x", "--file=data.txt")
    assert result.code == 0, result.stderr
    assert result.outputs["seen"]["file"]["size"] == 1


def test_paths_in_an_input_object_count_from_its_folder(desk: Desk, mirror: str) -> None:
    desk.write("deep/data.txt", "x")
    result = gridcwl(mirror, desk.write("deep/in.yml", "a: x\nfile: {class: File, path: data.txt}\n"))
    assert result.code == 0, result.stderr


def test_options_go_before_the_input_object(desk: Desk, mirror: str) -> None:
    result = gridcwl(mirror, desk.write("in.yml", "a: x\nnumber: 1\n"), "--number=2")
    assert result.code == 0, result.stderr
    assert (result.outputs["seen"]["a"], result.outputs["seen"]["number"]) == ("x", 2)


def test_a_dash_reads_the_input_object_from_standard_input(mirror: str) -> None:
    result = gridcwl(mirror, "-", stdin="a: typed\n")
    assert result.code == 0, result.stderr
    assert result.outputs["seen"]["a"] == "typed"


def test_json_is_an_input_object_too(desk: Desk, mirror: str) -> None:
    assert gridcwl(mirror, desk.write("in.json", json.dumps({"a": "x"}))).outputs["seen"]["a"] == "x"


def test_a_template_holds_every_input_and_can_be_filled_in(desk: Desk, mirror: str) -> None:
    result = gridcwl("--make-template", mirror)
    assert result.code == 0
    template = YAML(typ="safe").load(result.stdout)
    assert set(template) == set(KINDS)
    written = desk.write("in.yml", re.sub(r"^(file|folder|pair):.*(\n +.*)*$", "", result.stdout, flags=re.M))
    assert gridcwl(mirror, written).code == 0


def test_a_packed_document_runs_like_its_parts(desk: Desk) -> None:
    desk.write("echo.cwl", ECHO)
    outputs = {"said": {"type": "File", "outputSource": "one/said"}}
    flow = workflow({"text": "string"}, outputs, one=step("echo.cwl", "said", text="text"))
    packed = gridcwl("--pack", desk.write("w.cwl", flow))
    assert packed.code == 0
    assert len(json.loads(packed.stdout)["$graph"]) == 2
    (desk.folder / "echo.cwl").unlink()
    result = gridcwl("--outdir=outputs", desk.write("packed.cwl", packed.stdout), "--text=hello")
    assert result.code == 0, result.stderr
    assert (desk.outdir / "said.txt").read_text() == "hello\n"


def test_a_packed_tool_keeps_an_output_that_is_called_like_an_input(desk: Desk) -> None:
    twice = {**ECHO, "inputs": {"said": {"type": "string", "inputBinding": {"position": 1}}}}
    packed = json.loads(gridcwl("--pack", desk.write("twice.cwl", twice)).stdout)
    assert [port["type"] for port in packed["outputs"]] == ["File"]
    result = gridcwl("--outdir=outputs", desk.write("packed.cwl", json.dumps(packed)), "--said=hello")
    assert result.code == 0, result.stderr


def test_print_dot_draws_the_steps(desk: Desk) -> None:
    flow = workflow({"text": "string"}, {}, one=step(ECHO, "said", text="text"))
    result = gridcwl("--print-dot", desk.write("w.cwl", flow))
    assert result.code == 0
    assert result.stdout.startswith("digraph")
    assert '"one"' in result.stdout or "/one" in result.stdout


def test_validate_checks_the_document_and_runs_nothing(desk: Desk) -> None:
    result = gridcwl("--validate", desk.write("t.cwl", shell("touch ran", outputs={"o": glob("ran")})))
    assert (result.code, result.stdout) == (0, f"{desk.folder}/t.cwl is valid CWL.\n")
    assert not (desk.folder / "ran").exists()


def test_validate_checks_the_inputs_too_where_they_are_given(desk: Desk) -> None:
    document = desk.write("t.cwl", ECHO)
    assert gridcwl("--validate", document, desk.write("good.yml", "text: x\n")).code == 0
    result = gridcwl("--validate", document, desk.write("bad.yml", "text: 3\n"))
    assert result.code == 1
    assert "bad.yml:1:1:" in result.stderr


def test_version_names_the_program(desk: Desk) -> None:
    command = [sys.executable, "-m", "gridcwl", "--version"]
    found = subprocess.run(command, cwd=desk.folder, capture_output=True, text=True, check=True)
    assert found.stdout == f"gridcwl {package.__version__}\n"


def test_write_summary_takes_the_place_of_stdout(desk: Desk) -> None:
    result = gridcwl("--outdir=outputs", "--write-summary=s.json", desk.write("t.cwl", ECHO), "--text=x")
    assert (result.code, result.stdout) == (0, "")
    assert json.loads((desk.folder / "s.json").read_text())["said"]["basename"] == "said.txt"


def test_a_summary_that_cannot_be_written_is_printed(desk: Desk) -> None:
    result = gridcwl("--outdir=outputs", "--write-summary=/nowhere/s.json", desk.write("t.cwl", ECHO), "--text=x")
    assert "cannot be written to /nowhere/s.json" in result.stderr
    assert result.outputs["said"]["basename"] == "said.txt"


def test_a_finished_run_leaves_no_working_folder(desk: Desk, scratch: Path) -> None:
    assert gridcwl("--outdir=outputs", desk.write("t.cwl", ECHO), "--text=x").code == 0
    assert list(scratch.iterdir()) == []


def test_leave_tmpdir_keeps_the_working_folder(desk: Desk) -> None:
    prefix = desk.folder / "kept-"
    result = gridcwl(
        "--leave-tmpdir", f"--tmpdir-prefix={prefix}", "--outdir=outputs", desk.write("t.cwl", ECHO), "--text=x"
    )
    assert result.code == 0
    assert [path.name for path in desk.folder.glob("kept-*/**/stderr.log")] == ["stderr.log"]


def test_without_on_error_continue_the_rest_is_not_begun(desk: Desk) -> None:
    bad = shell("exit 1", inputs={"n": "int"}, outputs={"o": "stdout"})
    after = shell(f"touch {desk.folder}/ran", inputs={"f": "File[]"})
    flow = workflow({"ns": "int[]"}, {}, bad=step(bad, "o", scatter="n", n="ns"), after=step(after, f="bad/o"))
    result = gridcwl("--no-container", desk.write("w.cwl", flow), desk.write("in.yml", "ns: [1]\n"))
    assert result.code == 1
    assert not (desk.folder / "ran").exists()


def test_shards_that_wait_when_one_fails_are_not_begun(desk: Desk) -> None:
    count = shell('echo "$1" >> "$0"; test "$1" != 3', inputs={"log": on_command_line("string"),
                  "n": on_command_line("int", position=2)}, outputs={})  # fmt: skip
    document = workflow({"log": "string", "ns": "int[]"}, {}, s=step(count, log="log", n="ns", scatter="n"))
    begun = desk.folder / "begun"
    path = desk.write("w.cwl", document)
    given = desk.write("in.json", json.dumps({"log": str(begun), "ns": list(range(40))}))
    assert gridcwl("--no-container", "--max-jobs", "1", path, given).code == 1
    assert begun.read_text().split() == ["0", "1", "2", "3"]


def test_on_error_continue_ends_what_does_not_depend_on_the_failure(desk: Desk) -> None:
    good = tool("echo", inputs={"text": on_command_line("string")}, outputs={"o": "stdout"}, stdout="good.txt")
    flow = workflow(
        {"text": "string"},
        {"o": {"type": "File", "outputSource": "last/o"}, "lost": {"type": "File?", "outputSource": "bad/o"}},
        bad=step(shell("exit 1", outputs={"o": "stdout"}), "o"),
        first=step(good, "o", text="text"),
        last=step(
            tool("cat", inputs={"f": on_command_line("File")}, outputs={"o": "stdout"}, stdout="l"), "o", f="first/o"
        ),
    )
    result = gridcwl("--on-error=continue", "--outdir=outputs", desk.write("w.cwl", flow), "--text=x")
    assert result.code == 1
    assert result.outputs["lost"] is None  # what a failed tool left is no output
    assert Path(result.outputs["o"]["path"]).read_text() == "x\n"
