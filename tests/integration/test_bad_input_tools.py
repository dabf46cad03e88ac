"""Tools that fail, or leave something else than they promised: the messages for people."""

from __future__ import annotations

from pathlib import Path

import pytest
from commandline import gridcwl
from documents import Desk, expression, glob, shell, step, tool, workflow

TWINS = [{"entryname": "x", "entry": text} for text in "ab"]
H5 = {"o": glob("*.h5")}

# what is wrong: (document, words of the message)
WRONG = {
    "nothing that the pattern finds": (shell("true", outputs=H5), ["output 'o' matches its glob *.h5", "t.cwl:"]),
    "two files where one is promised": (shell("touch a.h5 b.h5", outputs=H5), ["'o' is a single file", "a.h5, b.h5"]),
    "a pattern that leads out": (
        shell("true", outputs={"o": glob("../../*")}),
        ["The output pattern ../../* leads out of the output directory"],
    ),
    "an absolute pattern": (
        shell("true", outputs={"o": glob("/etc/passwd")}),
        ["The output pattern /etc/passwd leads out of the output directory"],
    ),
    "a link that leads out": (
        shell("ln -s /etc/passwd a.h5", outputs=H5),
        ["What leads out of its directory is not taken: a.h5"],
    ),
    "no program": (tool("nosuchprogram"), ["The program nosuchprogram is not in PATH"]),
    "an exit code": (shell("exit 3"), ["exit code 3", "  exit code  3"]),
    "a signal": (shell("kill -9 $$"), ["SIGKILL"]),
    "too long": (
        tool("sleep", "1000", requirements={"ToolTimeLimit": {"timelimit": 1}}),
        ["longer than its limit of 1 s"],
    ),
    "an output object that is no JSON": (
        shell("echo '{' > cwl.output.json", outputs={"o": "string"}),
        ["cwl.output.json is not valid JSON"],
    ),
    "an output object of another type": (
        shell("""echo '{"o": 3}' > cwl.output.json""", outputs={"o": "string"}),
        ["the output 'o' is not a text"],
    ),
    "no command": (tool(), ["t.cwl has an empty command line", "baseCommand"]),
    "a stdout somewhere else": (shell("true", stdout="../x"), ["t.cwl:", "'../x'"]),
    "two files in one place": (
        shell("true", requirements={"InitialWorkDirRequirement": {"listing": TWINS}}),
        ["t.cwl has two inputs with the same path /gridcwl/out/x"],
    ),
    "no image": (tool("true", requirements={"DockerRequirement": {}}), ["names no image", "dockerPull"]),
}  # fmt: skip


@pytest.mark.parametrize("wrong", WRONG)
def test_what_is_wrong_with_a_tool_is_reported_once(desk: Desk, wrong: str) -> None:
    document, words = WRONG[wrong]
    options = ["--no-container"] if wrong != "no image" else []
    result = gridcwl(*options, "--outdir=outputs", desk.write("t.cwl", document))
    assert result.code == 1, result.stderr
    assert [word for word in words if word not in result.stderr] == []
    for noise in ("Traceback", "[Errno", "file://", "internal error"):
        assert noise not in result.stderr
    assert result.outputs == {}
    assert not desk.outdir.exists()


# an expression: words of the message
EXPRESSIONS = {
    "$(1 +* 2)": ["not valid JavaScript: Unexpected token '*'"],
    "${\n  var x = ;\n  return {};\n}": ["not valid JavaScript", "(at: var x = ;)"],
    "${ throw new Error('boom'); }": ["Error: boom"],
    "$(inputs.nothing.at.all)": ["an input 'nothing', which does not exist"],
    "${ return inputs.nothing.at.all; }": ["TypeError: Cannot read properties of undefined"],
    "${ 1 + 1; }": ["gives undefined", "'return'"],
    "${ return 5; }": ["gives int, not an object"],
    "${ while (true) {} }": ["was stopped after 1 s", "--eval-timeout"],
}


@pytest.mark.node
@pytest.mark.parametrize("text", EXPRESSIONS)
def test_an_expression_that_fails_is_reported_in_one_line(desk: Desk, text: str) -> None:
    result = gridcwl("--eval-timeout=1", desk.write("t.cwl", expression(text, {}, {"o": "Any"})))
    assert result.code == 1
    assert [word for word in EXPRESSIONS[text] if word not in result.stderr] == []
    for noise in ("Traceback", "node:", "evalmachine", '"use strict"', "Expecting value"):
        assert noise not in result.stderr


def test_a_reference_to_no_input_reports_where_it_is(desk: Desk) -> None:
    result = gridcwl("--no-container", desk.write("t.cwl", tool("echo", arguments=["$(inputs.nothing)"])))
    assert result.code == 1
    assert "t.cwl:" in result.stderr
    assert "refers to an input 'nothing', which does not exist" in result.stderr
    assert "Traceback" not in result.stderr


def test_the_tool_s_own_words_come_first_then_what_it_was_and_where_its_logs_are(desk: Desk) -> None:
    bad = shell("echo out; for n in 1 2 3; do echo line $n >&2; done; exit 7", inputs={"n": "int"})
    flow = workflow({"ns": "int[]"}, {}, bad=step(bad, scatter="n", n="ns"))
    result = gridcwl("--no-container", "--outdir=outputs", desk.write("w.cwl", flow), desk.write("in.yml", "ns: [1]\n"))
    lines = result.errors
    assert lines[:6] == [
        "---- stderr of bad[0] (last 3 lines)",
        "line 1",
        "line 2",
        "line 3",
        "----",
        "gridcwl: bad[0] failed: The tool ended with exit code 7.",
    ]
    shown = dict(
        line.split(None, 1) if not line.startswith("  exit") else ("exit", line.split()[2]) for line in lines[6:9]
    )
    assert shown["exit"] == "7"
    assert shown["command"].startswith("sh -c 'echo out;")
    logs = Path(shown["logs"])
    assert logs.read_text() == "line 1\nline 2\nline 3\n"
    assert (logs.parent / "stdout.log").read_text() == "out\n"


def test_a_tool_that_complains_on_stdout_is_heard(desk: Desk) -> None:
    result = gridcwl("--no-container", desk.write("t.cwl", shell("echo FATAL: no steering card; exit 1")))
    assert result.errors[:3] == ["---- stdout of t.cwl (last line)", "FATAL: no steering card", "----"]


def test_outputs_of_one_name_get_numbers(desk: Desk) -> None:
    both = shell("mkdir a b; echo 1 > a/x; echo 2 > b/x", outputs={"p": glob("a/x"), "q": glob("b/x")})
    result = gridcwl("--no-container", "--outdir=outputs", desk.write("t.cwl", both))
    assert result.code == 0
    assert {name: Path(result.outputs[name]["path"]).name for name in "pq"} == {"p": "x", "q": "x_2"}
    assert [(desk.outdir / name).read_text() for name in ("x", "x_2")] == ["1\n", "2\n"]
