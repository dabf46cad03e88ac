"""Small slips on the command line: options behind the document, near misses, options that nothing reads."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from commandline import gridcwl
from documents import ECHO, Desk, on_command_line, shell, tool

from gridcwl.cli.options import parse

ARRAY = tool("true", inputs={"n": "int[]", "outdir": "string?"})


@pytest.fixture
def echo(desk: Desk) -> str:
    return desk.write("t.cwl", ECHO)


def test_an_input_may_be_called_like_an_option_and_have_a_value_that_the_option_does_not(desk: Desk) -> None:
    document = desk.write("doc.cwl", tool("true", inputs=dict.fromkeys(("version", "max-jobs", "backend"), "string")))
    words = ("--version", "v", "--max-jobs", "many", "--backend=here")
    options = parse([document, *words, "--quiet"])
    assert options.words == words
    assert options.loudness < 0


def test_options_may_stand_behind_the_document(desk: Desk, echo: str) -> None:
    written = desk.write("in.yml", "text: x\n")
    for words in (
        [echo, written, "--outdir", "out"],
        [echo, "--outdir=out", written],
        [echo, "--quiet", "--text", "x", "--outdir", "out", "--no-container"],
        ["--outdir", "out", echo, "--text=x"],
    ):
        options = parse(words)
        assert options.outdir == Path("out")
        assert "--outdir" not in " ".join(options.words)
    assert parse([echo, "--text", "x", "--cache", "-w", "out.json"]).cache
    assert parse([echo, "--text", "x", "--cache", "-w", "out.json"]).words == ("--text", "x")
    assert parse([echo, "--pack"]).show == "pack"
    result = gridcwl(echo, written, "--outdir", str(desk.outdir), "--no-container")
    assert result.code == 0, result.stderr
    assert "Resolved" not in result.stderr
    assert (desk.outdir / "said.txt").read_text() == "x\n"


def test_behind_the_document_an_option_is_the_input_of_that_name(desk: Desk) -> None:
    document = desk.write("a.cwl", ARRAY)
    options = parse(["--outdir=out", document, "--n", "1", "2", "--outdir", "given", "--quiet"])
    assert options.outdir == Path("out")
    assert options.words == ("--n", "1", "2", "--outdir", "given")
    assert options.loudness == -1


def test_options_behind_a_document_with_mistakes_do_not_hide_them(desk: Desk) -> None:
    result = gridcwl(desk.write("bad.cwl", "cwlVersion: v1.2\nclass: Nonsense\n"), "--quiet")
    assert result.code == 1
    assert "bad.cwl" in result.stderr
    assert "Nonsense" in result.stderr


@pytest.mark.parametrize(
    ("words", "meant"),
    [
        (["--out-dir", "x", "t.cwl"], "--outdir"),
        (["--outdri=x", "t.cwl"], "--outdir"),
        (["t.cwl", "--text", "x", "--out-dir", "x"], "--outdir"),
        (["t.cwl", "--txt=x"], "--text"),
        (["--backend", "dirc", "t.cwl"], "dirac"),
        (["statuss", "last"], "status"),
        (["resum"], "resume"),
        (["status", "lst"], "last"),
        (["status", "last", "--jsn"], "--json"),
        (["testbd", "up"], "testbed"),
        (["tt.cwl"], "t.cwl"),
        (["t.cwl", "inn.yml"], "in.yml"),
    ],
)
@pytest.mark.usefixtures("echo")
def test_what_may_be_meant_is_reported(desk: Desk, words: list[str], meant: str) -> None:
    desk.write("in.yml", "text: x\n")
    if words[0] == "status":
        words = [*words, "--state-dir", str(desk.folder / "state")]
        (desk.folder / "state" / "runs" / "20260101-000000-abcdef").mkdir(parents=True)
    result = gridcwl(*words)
    assert result.code in (1, 2)
    assert f"Did you mean {meant}" in result.stderr
    assert len(result.stderr.splitlines()) <= 3


@pytest.mark.parametrize("words", [["status", "-h"], ["-h", "status"], ["--help", "status"], ["help", "status"]])
def test_help_of_a_command_may_be_asked_for_anywhere(words: list[str]) -> None:
    result = gridcwl(*words)
    assert result.code == 0
    assert result.stdout.startswith("usage: gridcwl status ")


def test_help_of_a_document_may_be_asked_for_anywhere(echo: str) -> None:
    for words in ([echo, "-h"], [echo, "--text", "x", "--help"], ["--tool-help", echo], [echo, "--quiet", "--help"]):
        result = gridcwl(*words)
        assert result.code == 0, result.stderr
        assert "--text TEXT" in result.stdout


def test_help_fits_a_terminal_of_80_columns(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    lines = gridcwl("--help").stdout.splitlines()
    assert len(lines) > 100
    assert [line for line in lines if len(line) > 80] == []


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--site", "A"], "--site requires --backend dirac or --backend diracx; it has no effect with --backend local"),
        (["--tag=A"], "--tag requires --backend dirac"),
        (["--lifetime", "3"], "--lifetime requires --store rucio; it has no effect with --store local"),
        (["--cache", "rucio"], "--cache requires --store rucio"),
        (["--pack", "5"], "--pack requires --backend dirac"),
        (["--submit-only"], "--submit-only requires --backend dask or --backend dirac or --backend diracx"),
        (["--no-download"], "--no-download requires --store rucio"),
        (
            ["--backend", "dirac", "--podman"],
            "--podman requires --backend local or --backend dask; it has no effect with --backend dirac",
        ),
        (["--backend", "diracx", "--max-jobs", "3"], "--max-jobs requires --backend local"),
        (["--backend", "diracx", "--custom-net", "x"], "--custom-net requires --backend local"),
        (["--retry-all"], "--retry-all has no effect without --retries"),
    ],
)
def test_options_that_nothing_reads_are_refused(echo: str, words: list[str], said: str) -> None:
    for line in ([*words, echo], [echo, "--text=x", *words]):
        answer = gridcwl(*line)
        assert answer.code == 2
        assert said in answer.stderr


def test_an_option_without_its_value_is_reported(echo: str) -> None:
    result = gridcwl(echo, "--outdir", "--quiet")
    assert (result.code, result.stderr.splitlines()[0]) == (2, "gridcwl: --outdir needs a value")


@pytest.mark.docker
def test_a_missing_image_is_one_error_that_blames_who_named_it(desk: Desk) -> None:
    inner = shell("true", inputs={"n": on_command_line("int")})
    flow = {
        "cwlVersion": "v1.2",
        "class": "Workflow",
        "requirements": {"ScatterFeatureRequirement": {}},
        "inputs": {"n": "int[]"},
        "outputs": {},
        "steps": {"s": {"run": inner, "in": {"n": "n"}, "out": [], "scatter": "n"}},
    }
    image = "gridcwl.invalid/there-is-none:1"
    result = gridcwl(
        "--default-container", image, "--on-error=continue", desk.write("w.cwl", flow), "--n", "1", "2", "3"
    )
    assert result.code == 1
    assert (
        result.stderr.count("s[0] failed") + result.stderr.count("s[1] failed") + result.stderr.count("s[2] failed")
        == 1
    )
    assert "2 more jobs failed for the same reason" in result.stderr
    assert "Check the name in --default-container" in result.stderr
    assert "DockerRequirement" not in result.stderr


def test_documents_and_input_objects_that_begin_with_cwl_runner_are_commands(desk: Desk) -> None:
    first = "#!/usr/bin/env cwl-runner\n"
    document = Path(desk.write("t.cwl", first + json.dumps(ECHO)))
    given = Path(desk.write("in.yml", f"{first}cwl:tool: t.cwl\ntext: x\n"))
    path = {**os.environ, "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"}
    for file, words in ((document, ["--validate", "--text=x"]), (given, ["--no-container", "--outdir", "out"])):
        file.chmod(0o755)
        done = subprocess.run([file, *words], cwd=desk.folder, env=path, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr
    assert (desk.folder / "out" / "said.txt").read_text() == "x\n"


def test_pack_max_and_supported_versions_need_no_more(desk: Desk) -> None:
    assert gridcwl("--print-supported-versions").stdout.startswith("v1.0\nv1.1\nv1.2\n")
    assert parse(["--parallel", "--parallel-max", "0", "x.cwl"]).max_jobs is None
    desk.write("CWLFile", ECHO)
    assert parse([]).document == "CWLFile"


@pytest.mark.parametrize(
    ("words", "what"),
    [
        (["status"], "RUN must be given\ngridcwl runs lists the runs; 'last' is the latest: gridcwl status last\n"),
        (["explain", "last"], "explain: STEP must be given\n"),
        (["resume", "last", "--retries", "x"], "argument --retries: 'x' is not a whole number\n"),
        (["runs", "--limit", "2.5"], "argument --limit: '2.5' is not a whole number\n"),
        (["--lifetime", "long", "t.cwl"], "argument --lifetime: 'long' is not a number\n"),
        (["--pack-jobs", "some", "t.cwl"], "argument --pack-jobs: 'some' is not a whole number\n"),
    ],
)
def test_words_that_are_missing_or_no_numbers_are_named_without_python(words: list[str], what: str) -> None:
    result = gridcwl(*words)
    assert result.code == 2
    assert what in result.stderr


def test_a_reader_that_wants_no_more_of_the_output_object_does_not_fail_the_run(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    reader, writer = os.pipe()
    os.close(reader)
    with os.fdopen(writer, "w") as closed:
        monkeypatch.setattr("sys.stdout", closed)
        from gridcwl.cli.running import print_outputs

        assert print_outputs({"a": 1}, None)
    with open("/dev/full", "w") as full:  # noqa: PTH123
        monkeypatch.setattr("sys.stdout", full)
        assert not print_outputs({"a": 1}, None)


def test_a_folder_that_is_called_like_a_command_is_no_document(desk: Desk) -> None:
    for name in ("logs", "runs", "testbed", "plan"):
        (desk.folder / name).mkdir()
    assert "There is no run 20200101" in gridcwl("logs", "20200101-000000-000000").stderr
    assert gridcwl("runs", "--json").code == 0
    assert gridcwl("testbed", "--help").stdout.startswith("usage: gridcwl testbed")
    assert gridcwl("plan", "--help").code == 0
