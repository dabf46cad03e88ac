"""Documents, input objects, overrides and configuration that would take for ever, and names that no file can have."""

from __future__ import annotations

import json
import time
from pathlib import Path

import pytest
from commandline import gridcwl
from documents import ECHO, Desk, on_command_line, step, tool, workflow

from gridcwl.backends.dirac.diracx.server import from_environment
from gridcwl.config import parsed
from gridcwl.cwl.text_limits import check_text
from gridcwl.errors import ConfigError
from gridcwl.worker.engine import EngineError
from gridcwl.worker.image_source import local_path

CAT = tool("cat", inputs={"f": on_command_line("File")}, outputs={"said": "stdout"}, stdout="said.txt")


@pytest.fixture
def desk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Desk:
    monkeypatch.chdir(tmp_path)
    return Desk(tmp_path)


def bomb(levels: int = 9) -> str:
    """YAML whose last value is 9**levels values."""
    lines = ["a0: &a0 [x]"] + [f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 9)}]" for n in range(1, levels + 1)]
    return "\n".join(lines) + "\n"


TOOL = "cwlVersion: v1.2\nclass: CommandLineTool\nbaseCommand: true\ninputs: []\noutputs: []\n"
DEEP = "x: " + "[" * 5000 + "]" * 5000 + "\n"
DEEP_JSON = '{"x": ' + '{"a": ' * 5000 + "1" + "}" * 5001
DASHES = "x:\n  " + "- " * 3000 + "1\n"


@pytest.mark.parametrize(
    ("text", "words"),
    [
        (bomb(), ":6:40: its aliases stand for more than 100000 values"),
        (DEEP, ":1:260: it is nested more than 256 levels deep"),
        (DASHES, ":2:3: it is nested more than 256 levels deep"),
        (DEEP_JSON, ": it is nested more than 256 levels deep"),
    ],
)
@pytest.mark.parametrize("where", ["document", "input object", "standard input", "overrides", "run", "import"])
def test_what_is_too_much_is_refused_at_once_with_file_and_line(desk: Desk, where: str, text: str, words: str):
    name, stdin, arguments = "bad.yml", "", ["--validate", "doc.cwl"]
    desk.write("doc.cwl", json.dumps(ECHO))
    if where == "document":
        name, arguments = "doc.cwl", ["--validate", "doc.cwl"]
    elif where == "input object":
        arguments += [name]
    elif where == "standard input":
        name, stdin, arguments = "standard input", text, [*arguments, "-"]
    elif where == "overrides":
        arguments = ["--overrides", name, *arguments]
    elif where == "run":
        desk.write("doc.cwl", workflow({}, {}, a=step(name)))
    else:
        desk.write("doc.cwl", json.dumps(ECHO | {"requirements": {"$import": name}}))
    if not stdin:
        (desk.folder / name).write_text(text)
    result = gridcwl(*arguments, stdin=stdin)
    assert result.code == 1
    assert words in result.stderr
    assert name in result.stderr
    assert "internal error" not in result.stderr


def test_a_large_json_input_object_that_is_nested_too_deeply_is_refused_with_its_line(desk: Desk):
    desk.write("doc.cwl", ECHO)
    (desk.folder / "in.json").write_text('{\n"text":\n' + "[" * 20_000 + "]" * 20_000 + "}")
    result = gridcwl("--validate", "doc.cwl", "in.json")
    assert "in.json:3:256: it is nested more than 256 levels deep" in result.stderr


@pytest.mark.parametrize(
    "text",
    [
        "a: &b {x: 1}\nc: [*b, *b]\n",
        json.dumps([{"a": [{"b": {}}]}] * 2000),
        '"' + "[" * 1000 + '"',
        "# [ don't\n" * 500,
        "a: |\n" + "  if (x) { y(); }\n" * 500,
    ],
)
def test_what_is_only_long_is_not_refused(text: str):
    begun = time.process_time()
    check_text(text, "x")
    assert time.process_time() - begun < 20


def test_strings_do_not_hide_what_is_nested():
    with pytest.raises(Exception, match="nested"):
        check_text("x: a 'b\ny: " + "[" * 6000 + "\nz: a 'b\n", "x")


def test_a_configuration_that_is_nested_too_deeply_is_refused(tmp_path: Path):
    with pytest.raises(ConfigError, match="is nested too deeply"):
        parsed("x = " + "[" * 5000 + "]" * 5000, tmp_path / "config.toml")


@pytest.mark.parametrize(
    ("location", "words"),
    [
        ("file://otherhost{folder}/a.txt", "in.json:4:3: The File file://otherhost"),
        ("file://localhost.evil{folder}/a.txt", "is a file of another machine, localhost.evil"),
        ("file://{folder}/a.txt%00", "contains a NUL character"),
        ("file://{folder}/sub/%2e%2e/a.txt", "contains a percent-encoded '..' or '.'"),
        ("file://{folder}/" + "x" * 300, "has a name longer than 255 bytes"),
        ("x" * 300, "has a name longer than 255 bytes"),
        ("/" + "x/" * 3000, "is longer than 4095 bytes"),
    ],
)
def test_a_location_that_no_file_here_can_have_is_refused_with_its_line(desk: Desk, location: str, words: str):
    desk.write("doc.cwl", CAT)
    desk.write("a.txt", "a")
    for key in ("location", "path") if "://" not in location else ("location",):
        desk.write("in.json", {"f": {"class": "File", key: location.format(folder=desk.folder)}})
        result = gridcwl("--no-container", "doc.cwl", "in.json")
        assert result.code == 1
        assert words in result.stderr
        assert "in.json:4:3:" in result.stderr


def test_files_of_localhost_and_above_are_found(desk: Desk):
    desk.write("doc.cwl", CAT)
    desk.write("a.txt", "a")
    desk.write("sub/b.txt", "b")
    for location in (f"file://localhost{desk.folder}/a.txt", "sub/../a.txt", f"{desk.folder}/sub/../a.txt"):
        desk.write("in.json", {"f": {"class": "File", "location": location}})
        assert gridcwl("--no-container", "--outdir", str(desk.outdir), "doc.cwl", "in.json").code == 0


def test_a_document_of_another_machine_is_not_the_one_of_its_path_here(desk: Desk):
    desk.write("tool.cwl", ECHO)
    desk.write(
        "doc.cwl", workflow({}, {}, a=step(f"file://otherhost{desk.folder}/tool.cwl", "said", text={"default": "x"}))
    )
    result = gridcwl("--validate", "doc.cwl")
    assert result.code == 1
    assert "is a file of another machine" in result.stderr


def test_an_image_of_another_machine_is_not_the_one_of_its_path_here():
    with pytest.raises(EngineError, match="is a file of another host, otherhost"):
        local_path("file://otherhost/images/x.tar")


@pytest.mark.parametrize(
    "url", ["http://diracx.example.org", "HTTP://10.0.0.1:8000", "http://localhost.evil.org", "http://u@127.evil"]
)
def test_a_diracx_that_would_be_sent_tokens_unencrypted_is_refused(monkeypatch, url: str):
    monkeypatch.setenv("DIRACX_URL", url)
    with pytest.raises(ConfigError, match="unencrypted"):
        from_environment()
