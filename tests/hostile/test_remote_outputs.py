"""What a tool or an expression names is not fetched; what a person names is, without credentials, before all else."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from commandline import CommandResult, gridcwl
from documents import Desk, expression, on_command_line, shell, step, tool, workflow
from throwaway_ca import Tls
from webdav import Dav, served

CAT = tool("cat", inputs={"f": on_command_line("File")}, outputs={"said": "stdout"}, stdout="said.txt")


@pytest.fixture(scope="module")
def tls(tmp_path_factory: pytest.TempPathFactory) -> Tls:
    return Tls(tmp_path_factory.mktemp("tls"))


@pytest.fixture
def theirs(tls: Tls, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Dav]:
    tls.for_clients(monkeypatch)
    netrc = tmp_path / "netrc"
    netrc.write_text("machine localhost login alice password PASS\n")
    netrc.chmod(0o600)
    monkeypatch.setenv("NETRC", str(netrc))
    with served(tmp_path / "theirs", tls.server()) as dav:
        dav.put("x", b"data\n")
        yield dav


@pytest.fixture
def desk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Desk:
    monkeypatch.setenv("GRIDCWL_CACHE_DIR", str(tmp_path / "cache"))
    monkeypatch.chdir(tmp_path)
    return Desk(tmp_path)


def run(desk: Desk, document: Any, inputs: Any = None, *options: str) -> CommandResult:
    desk.write("doc.cwl", document)
    desk.write("in.json", inputs or {})
    return gridcwl("--no-container", "--outdir", str(desk.outdir), *options, "doc.cwl", "in.json")


def naming(url: str, kind: str = "File") -> dict[str, Any]:
    return {"class": kind, "location": url}


def says(value: Any) -> dict[str, Any]:
    """A tool that leaves this as its output object."""
    text = json.dumps({"f": value}).replace("'", "'\\''")
    kind = "Directory" if value["class"] == "Directory" else "File"
    return shell(f"printf %s '{text}' > cwl.output.json", outputs={"f": kind})


def evaluating(value: Any, kind: str = "File") -> dict[str, Any]:
    return shell(
        "true", requirements={"InlineJavascriptRequirement": {}},
        outputs={"f": {"type": kind, "outputBinding": {"outputEval": f"$({json.dumps(value)})"}}},
    )  # fmt: skip


def then_read(made: Any) -> dict[str, Any]:
    return workflow(
        {}, {"o": {"type": "File", "outputSource": "b/said"}}, a=step(made, "f"), b=step(CAT, "said", f="a/f")
    )


def nested(url: str) -> dict[str, Any]:
    return {"class": "Directory", "basename": "d", "location": "_:1", "listing": [naming(url)]}


@pytest.mark.parametrize(
    "made",
    [
        lambda url: says(naming(url)),
        lambda url: says(naming(url.upper().replace("/X", "/x"))),
        lambda url: says(naming(url.replace("https", "davs"))),
        lambda url: says(naming(url.replace("https", "root"))),
        lambda _: says(naming("rucio://scope/name")),
        lambda url: says({"class": "File", "path": url}),
        lambda url: says({**naming("_:1"), "contents": "", "basename": "x", "secondaryFiles": [naming(url)]}),
        lambda url: evaluating(naming(url)),
        lambda url: evaluating({"class": "File", "path": url}),
        lambda url: expression(f"${{return {{f: {json.dumps(naming(url))}}};}}", {}, {"f": "File"}),
        lambda _: expression("${return {f: {class: 'File', location: 'file:///etc/hostname'}};}", {}, {"f": "File"}),
    ],
)
@pytest.mark.node
def test_an_output_that_is_elsewhere_is_refused_and_nobody_is_asked_for_it(desk: Desk, theirs: Dav, made: Any):
    result = run(desk, then_read(made(f"{theirs.url}x")))
    assert result.code == 1
    assert (
        "which is not one of its inputs" in result.stderr
        or "must be within designated output directory" in result.stderr
    )
    assert theirs.requests == []


def test_a_listing_that_names_a_url_is_refused(desk: Desk, theirs: Dav):
    result = run(desk, says(nested(f"{theirs.url}x")))
    assert result.code == 1
    assert "which is not one of its inputs" in result.stderr
    assert theirs.requests == []


@pytest.mark.node
def test_a_step_expression_makes_no_file_of_a_url(desk: Desk, theirs: Dav):
    linked = {"source": "t", "valueFrom": "$({class: 'File', location: self})"}
    document = workflow({"t": "string"}, {}, a=step(CAT, f=linked))
    for url in (f"{theirs.url}x", "file:///etc/hostname"):
        result = run(desk, document, {"t": url})
        assert result.code == 1
        assert f"An expression of step a names '{url}', which is not one of its inputs" in result.stderr
    assert theirs.requests == []


@pytest.mark.node
def test_an_expression_of_a_listing_makes_no_file_of_a_url(desk: Desk, theirs: Dav):
    listing = {"InlineJavascriptRequirement": {}, "InitialWorkDirRequirement": {
        "listing": "$([{class: 'File', location: inputs.t, basename: 'x'}])"
    }}  # fmt: skip
    for url in (f"{theirs.url}x", "file:///etc/hostname"):
        result = run(desk, shell("cat x", inputs={"t": "string"}, requirements=listing), {"t": url})
        assert result.code == 1
        assert f"names '{url}', which is not one of its inputs" in result.stderr
    assert theirs.requests == []


@pytest.mark.node
def test_an_expression_of_secondary_files_makes_no_file_of_a_url(desk: Desk, theirs: Dav):
    made = f"$({{class: 'File', location: '{theirs.url}x', basename: 'x'}})"
    document = CAT | {"requirements": {"InlineJavascriptRequirement": {}}}
    document["inputs"] = {"f": on_command_line("File") | {"secondaryFiles": [made]}}
    desk.write("f.txt", "f")
    result = run(desk, document, {"f": {"class": "File", "path": "f.txt"}})
    assert result.code == 1
    assert theirs.requests == []


@pytest.mark.node
def test_inputs_are_passed_on_by_tools_and_expressions(desk: Desk):
    desk.write("a.txt", "a")
    desk.write("a.txt.idx", "idx")
    passing = expression("${return {f: inputs.f};}", {"f": "File"}, {"f": "File"})
    index = {"source": "f", "valueFrom": "${return {class: 'File', location: self.location + '.idx'};}"}
    document = workflow(
        {"f": "File"}, {"o": {"type": "File", "outputSource": "c/said"}},
        a=step(passing, "f", f="f"), b=step(passing, "f", f=index), c=step(CAT, "said", f="b/f"),
    )  # fmt: skip
    result = run(desk, document, {"f": {"class": "File", "path": "a.txt"}})
    assert result.code == 0, result.stderr
    assert (desk.outdir / "said.txt").read_text() == "idx"


def shown_to(dav: Dav) -> set[tuple[str | None, bool]]:
    return set(zip(dav.tokens, dav.proxies, strict=True))


@pytest.mark.parametrize(
    "where", ["input", "default of the workflow", "default of a step", "default of a tool", "listing"]
)
def test_a_file_that_a_person_names_comes_without_credentials(desk: Desk, theirs: Dav, where: str):
    there, inputs = naming(f"{theirs.url}x"), {}
    given: Any = {"type": "File"}
    cat, linked = CAT, "f"
    if where == "input":
        inputs = {"f": there}
    elif where == "default of the workflow":
        given["default"] = there
    elif where == "default of a step":
        given, linked = None, {"default": there}
    elif where == "default of a tool":
        given, linked = None, None
        cat = CAT | {"inputs": {"f": on_command_line("File") | {"default": there}}}
    else:
        given, linked = None, None
        cat = CAT | {"inputs": {}, "arguments": ["y"]}
        cat["requirements"] = {"InitialWorkDirRequirement": {"listing": [there | {"basename": "y"}]}}
    links = {"f": linked} if linked else {}
    document = workflow(
        {"f": given} if given else {}, {"o": {"type": "File", "outputSource": "a/said"}}, a=step(cat, "said", **links)
    )
    result = run(desk, document, inputs)
    assert result.code == 0, result.stderr
    assert (desk.outdir / "said.txt").read_text() == "data\n"
    assert shown_to(theirs) == {(None, False)}


def test_a_name_and_password_in_a_url_go_to_its_own_server_only_and_are_not_shown(
    desk: Desk, theirs: Dav, tls: Tls, tmp_path: Path
):
    with served(tmp_path / "other", tls.server()) as other:
        other.put("x", b"moved\n")
        theirs.elsewhere = other.url
        result = run(desk, CAT, {"f": naming(f"{theirs.url.replace('//', '//bob:WORD@')}x")})
        assert result.code == 0, result.stderr
        assert [token.partition(" ")[0] for token in theirs.tokens if token] == ["Basic"]
        assert other.tokens == [None]
    assert "WORD" not in result.stderr + result.stdout


def test_a_download_is_not_continued_by_http(desk: Desk, theirs: Dav, tmp_path: Path):
    with served(tmp_path / "plain") as plain:
        theirs.elsewhere = plain.url
        result = run(desk, CAT, {"f": naming(f"{theirs.url}x")})
        assert plain.requests == []
    assert result.code == 1
    assert "which is not encrypted" in result.stderr


def test_a_download_has_a_largest_size(desk: Desk, theirs: Dav, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("GRIDCWL_MAX_DOWNLOAD_MIB", "1")
    theirs.put("x", b"x" * (1024**2 + 1))
    result = run(desk, CAT, {"f": naming(f"{theirs.url}x")})
    assert result.code == 1
    assert f"The File {theirs.url}x is larger than 1 MiB, and is not downloaded" in result.stderr
    assert not list((desk.folder / "cache" / "downloads").rglob("x"))


@pytest.mark.docker
def test_a_tool_without_a_network_has_no_url_fetched_for_it(desk: Desk, theirs: Dav):
    requirement = {"DockerRequirement": {"dockerPull": "alpine:latest"}}
    desk.write("doc.cwl", then_read(says(naming(f"{theirs.url}x")) | {"requirements": requirement}))
    result = gridcwl("--outdir", str(desk.outdir), "doc.cwl")
    assert result.code == 1
    assert "which is not one of its inputs" in result.stderr
    assert theirs.requests == []
