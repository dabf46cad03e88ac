"""A tool that says of its outputs what is not so: whole runs, on this machine and in containers."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from commandline import CommandResult, gridcwl
from documents import Desk, expression, step, tool, workflow

from gridcwl.cwl.origins import Origins

IMAGE = {"DockerRequirement": {"dockerPull": "debian:stable-slim"}}
SECRET = "the secret"


@pytest.fixture
def desk(tmp_path: Path) -> Desk:
    (tmp_path / "secret").write_text(SECRET)
    (tmp_path / "deep").mkdir()
    return Desk(tmp_path / "deep")


def says(outputs: Any, kind: Any = "Any", **fields: Any) -> dict[str, Any]:
    """A tool that writes this as its output object."""
    text = outputs if isinstance(outputs, str) else json.dumps(outputs)
    writing = {"InitialWorkDirRequirement": {"listing": [{"entryname": "cwl.output.json", "entry": text}]}}
    return tool("true", outputs={"o": kind}, requirements={**writing, **fields})


def climbing(depth: int) -> dict[str, Any]:
    entry: dict[str, Any] = {"class": "File", "location": "_:f", "basename": "secret", "contents": "pwned"}
    for number in range(depth):
        entry = {"class": "Directory", "location": f"_:{number}", "basename": "..", "listing": [entry]}
    return entry


def run(desk: Desk, document: dict[str, Any], *options: str) -> CommandResult:
    return gridcwl(*options, "--quiet", f"--outdir={desk.outdir}", desk.write("t.cwl", document))


def nothing_happened(desk: Desk) -> bool:
    """No output is there, and the secret is neither published nor changed."""
    return not desk.outdir.exists() and (desk.folder.parent / "secret").read_text() == SECRET


def refused(result: CommandResult) -> bool:
    return result.code == 1 and "Traceback" not in result.stderr and "internal error" not in result.stderr


def secret(desk: Desk) -> str:
    return str(desk.folder.parent / "secret")


def test_a_listing_that_climbs_writes_nothing(desk: Desk) -> None:
    result = run(desk, says({"o": climbing(2)}), "--no-container")
    assert refused(result)
    assert "The base name of an output of t.cwl is refused: '..' is not a file name" in result.stderr
    assert nothing_happened(desk)


@pytest.mark.docker
def test_a_listing_that_climbs_writes_nothing_from_a_container_either(desk: Desk) -> None:
    result = run(desk, says({"o": climbing(2)}, **IMAGE))
    assert refused(result)
    assert "is not a file name" in result.stderr
    assert nothing_happened(desk)


@pytest.mark.docker
def test_a_container_cannot_return_a_file_of_the_host(desk: Desk) -> None:
    result = run(desk, says({"o": {"class": "File", "location": secret(desk), "basename": "x"}}, **IMAGE))
    assert refused(result)
    assert nothing_happened(desk)


@pytest.mark.parametrize(
    "location",
    ["{}", "file://{}", "file://localhost{}", "FILE://{}", "../../../secret", "https://localhost:1/x", "davs://x/y",
     "rucio://cta/x", "file:///etc/%2e%2e/x", "gopher://x", "sandbox:x", "a\0b"],
)  # fmt: skip
@pytest.mark.parametrize("kind", ["File", "Directory"])
def test_a_tool_returns_only_what_it_made_or_was_given(desk: Desk, location: str, kind: str) -> None:
    entry = {"class": kind, "location": location.format(secret(desk))}
    result = run(desk, says({"o": entry}), "--no-container")
    assert refused(result)
    assert SECRET not in result.stdout
    assert nothing_happened(desk)


@pytest.mark.parametrize("where", ["secondaryFiles", "listing"])
def test_neither_beside_nor_within_its_outputs(desk: Desk, where: str) -> None:
    inner = [{"class": "File", "location": secret(desk)}]
    outer = {"class": "Directory" if where == "listing" else "File", "basename": "d", "location": "_:1", where: inner}
    result = run(desk, says({"o": {**outer, "contents": ""} if where != "listing" else outer}), "--no-container")
    assert refused(result)
    assert nothing_happened(desk)


@pytest.mark.node
def test_an_output_expression_cannot_return_another_file(desk: Desk) -> None:
    text = f"$({{class: 'File', location: '{secret(desk)}'}})"
    output = {"type": "Any", "outputBinding": {"outputEval": text}}
    result = run(
        desk, tool("true", outputs={"o": output}, requirements={"InlineJavascriptRequirement": {}}), "--no-container"
    )
    assert refused(result)
    assert nothing_happened(desk)


@pytest.mark.node
@pytest.mark.parametrize(
    "entry", ["{class: 'File', location: 'file://%s'}", "{class: 'File', location: 'https://x/y'}"]
)
def test_an_expression_tool_returns_only_literals_and_its_inputs(desk: Desk, entry: str) -> None:
    result = run(desk, expression(f"${{return {{o: {entry.replace('%s', secret(desk))}}}}}", {}, {"o": "Any"}))
    assert refused(result)
    assert "is not one of its inputs" in result.stderr
    assert nothing_happened(desk)


@pytest.mark.node
def test_a_listing_of_an_expression_that_climbs_writes_nothing(desk: Desk) -> None:
    result = run(desk, expression(f"${{return {{o: {json.dumps(climbing(2))}}}}}", {}, {"o": "Any"}))
    assert refused(result)
    assert nothing_happened(desk)


def test_an_input_may_be_passed_through(desk: Desk) -> None:
    flow = workflow(
        {"f": "File"}, {"o": {"type": "File", "outputSource": "s/o"}},
        s=step(
            tool(
                "sh", "-c", 'printf \'{"o": {"class": "File", "path": "%s"}}\' "$0" > cwl.output.json',
                inputs={"f": {"type": "File", "inputBinding": {}}}, outputs={"o": "File"},
            ),
            "o", f="f",
        ),
    )  # fmt: skip
    result = gridcwl(
        "--no-container", "--quiet", f"--outdir={desk.outdir}", desk.write("w.cwl", flow), f"--f={secret(desk)}"
    )
    assert result.code == 0, result.stderr
    assert desk.listing() == ["secret"]


@pytest.mark.parametrize("name", ["a.secret", "a.txt.secret", "a.d/secret", "d/%2e%2e/a.secret", "d%2f..%2fa.secret"])
def test_a_tool_does_not_return_what_lies_next_to_its_inputs(desk: Desk, name: str) -> None:
    for made in ("a.txt", "a.secret", "a.txt.secret", "a.d/secret", "d/in"):
        desk.write(made, SECRET)
    flow = says({"o": {"class": "File", "location": f"file://{desk.folder}/{name}"}})
    flow["inputs"] = {"f": "File", "d": "Directory"}
    text = desk.write("t.cwl", flow)
    options = ("--no-container", "--quiet", f"--outdir={desk.outdir}")
    result = gridcwl(*options, text, f"--f={desk.folder}/a.txt", f"--d={desk.folder}/d")
    assert refused(result)
    assert nothing_happened(desk)


@pytest.mark.parametrize(
    ("location", "known"),
    [
        ("file:///d/a.bam.bai", True), ("file:///d/a.bai", True), ("file:///d/a.d/x", False),
        ("file:///d/b.bai", False),
        ("file:///f/x/y", True), ("file:///f/%2e%2e/x", False), ("file:///f%2f..%2fx", False), ("file:///f/./x", False),
        ("file:///ff", False), ("FILE:///d/a.bam", False), ("file://localhost/d/a.bam", False),
    ],
)  # fmt: skip
def test_an_expression_names_inputs_what_is_in_them_and_files_of_their_name(location: str, known: bool) -> None:
    inputs = [{"class": "File", "location": "file:///d/a.bam"}, {"class": "Directory", "location": "file:///f"}]
    assert Origins(inputs).has(location) is known


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ('{"o": ' + "[" * 500 + "]" * 500 + "}", "nest"),
        ('{"o": ' + "[" * 3_000, "nested too deeply"),
        ('{"o": NaN}', "NaN"),
        ('{"o": 1e999}', ", which JSON does not have"),
        ('{"o": "\\ud800"}', "a lone surrogate"),
        ('{"o": {"class": "File", "location": "_:1", "basename": "\\ud800", "contents": ""}}', "no file name can have"),
        ('{"o": {"class": "File", "location": "_:1", "basename": "a\\u0000", "contents": ""}}', "NUL"),
        ('{"o": {"class": "File", "location": "_:1", "basename": "%s", "contents": ""}}' % ("x" * 300), "255 bytes"),
        ('{"o": {"class": "File", "location": "_:1", "basename": 7, "contents": ""}}', ""),
        ('{"o": {"class": "File", "location": "_:1", "basename": "a", "contents": 7}}', ""),
        ('{"o": {"class": "File", "location": 7}}', ""),
        ('{"o": {"class": "Directory", "location": "_:1", "basename": "d", "listing": 7}}', ""),
        ('{"o": {"class": "Directory", "location": "_:1", "basename": "d", "listing": [7]}}', ""),
        ('{"o": {"class": "File", "location": "_:1", "basename": "d", "contents": "", "secondaryFiles": [[]]}}', ""),
        ("[1]", ""),
    ],
)
def test_an_output_object_that_nobody_could_use_fails_its_job_with_the_reason(
    desk: Desk, text: str, message: str
) -> None:
    result = run(desk, says(text), "--no-container")
    assert refused(result), result.stderr
    assert message in result.stderr
    assert nothing_happened(desk)
