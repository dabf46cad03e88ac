"""``gridcwl --server URL`` and ``Client(server=URL)``: as runs of this machine, at a service."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from commandline import gridcwl as command
from documents import expression, on_command_line, shell, step, workflow
from wes import IMAGE, Wes, process

import gridcwl

SUM = shell(
    'ls "$(dirname "$2")"; cat "$1"/*/* "$0"; echo to stderr >&2',
    inputs={
        "table": {"type": "File", "secondaryFiles": [".idx"], "inputBinding": {"position": 1}},
        "folder": on_command_line("Directory"),
        "constant": {**on_command_line("File"), "default": {"class": "File", "location": "constant.txt"}},
    },
    outputs={"sum": "stdout"},
    stdout="sum.txt",
    requirements=IMAGE,
)
FLOW = workflow(
    {"table": {"type": "File", "secondaryFiles": [".idx"]}, "folder": "Directory"},
    {"sum": {"type": "File", "outputSource": "add/sum"}},
    add=step("../tools/sum.cwl", "sum", table="table", folder="folder"),
)
TWICE = expression("${ return {twice: 2 * inputs.number}; }", {"number": "int"}, {"twice": "int"})
FAILS = shell("echo broken >&2; exit 3", requirements=IMAGE)


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Wes]:
    with process(tmp_path_factory.mktemp("served")) as (wes, _):
        yield wes


@pytest.fixture
def url(served: Wes) -> str:
    return str(served.http.base_url).rstrip("/")


@pytest.fixture
def desk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("GRIDCWL_ENGINE", raising=False)
    for name, text in {
        "tools/sum.cwl": json.dumps(SUM),
        "tools/constant.txt": "constant\n",
        "flows/flow.cwl": json.dumps(FLOW),
        "data/table": "table\n",
        "data/table.idx": "index\n",
        "data/folder/inner/file": "file\n",
        "twice.cwl": json.dumps(TWICE),
        "fails.cwl": json.dumps(FAILS),
        "inputs.json": json.dumps(
            {
                "table": {"class": "File", "location": "data/table"},
                "folder": {"class": "Directory", "location": "data/folder"},
            }
        ),
    }.items():
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return tmp_path


@pytest.mark.docker
def test_a_run_at_a_service_prints_what_a_run_here_prints(url: str, desk: Path):
    here = command("--outdir", "out", "flows/flow.cwl", "inputs.json")
    assert here.code == 0, here.stderr
    (desk / "out" / "sum.txt").rename(desk / "of-here.txt")
    there = command("--server", url, "--outdir", "out", "flows/flow.cwl", "inputs.json")
    assert there.code == 0, there.stderr
    assert there.outputs == here.outputs
    assert (desk / "out" / "sum.txt").read_text() == "table\ntable.idx\nfile\nconstant\n"
    assert (desk / "of-here.txt").read_text() == (desk / "out" / "sum.txt").read_text()


@pytest.mark.usefixtures("desk")
def test_a_mistake_is_shown_before_anything_is_uploaded(url: str):
    result = command("--server", url, "twice.cwl", "--number", "many")
    assert result.code != 0
    assert "number" in result.stderr
    refused = command("--server", url, "--no-container", "twice.cwl", "--number", "1")
    assert refused.code == 2
    assert "the service decides it" in refused.stderr


@pytest.mark.docker
@pytest.mark.usefixtures("desk")
def test_the_commands_for_runs_accept_the_service(url: str):
    failed = command("--server", url, "--run-name", "doomed", "fails.cwl")
    assert failed.code == 1
    assert "fails.cwl failed" in failed.stderr
    assert "---- stderr of fails.cwl (last line)\nbroken\n----" in failed.stderr
    assert "Its logs are in" not in failed.stderr  # at the service, where its client is not
    assert f"gridcwl resume --server {url}" in failed.stderr
    assert "doomed" in command("runs", "--server", url).stdout
    about = json.loads(command("status", "--server", url, "doomed", "--json").stdout)
    assert (about["state"], about["steps"][0]["failed"]) == ("failed", 1)
    assert "fails.cwl" in command("status", "--server", url, "doomed").stdout
    assert "broken" in command("logs", "--server", url, "doomed").stdout
    assert "broken" in command("logs", "--follow", "--server", url, "doomed").stdout
    assert json.loads(command("report", "--server", url, "doomed", "--format", "json").stdout)
    resumed = command("resume", "--server", url, "doomed")
    assert resumed.code == 1
    assert "resumed as" in resumed.stderr
    assert about["run"] not in resumed.stderr.split("resumed as", 1)[1].splitlines()[0]
    assert "has already ended" in command("cancel", "--server", url, "last").stderr
    attached = command("attach", "--server", url, "last")
    assert (attached.code, "---- stderr of fails.cwl" in attached.stderr) == (1, True), attached.stderr
    assert "There is no run none" in command("status", "--server", url, "none").stderr


@pytest.mark.docker
@pytest.mark.usefixtures("desk")
def test_runs_of_a_service_are_filtered_explained_exported_and_removed(url: str):
    for name in ("first", "second"):
        assert command("--server", url, "--run-name", name, "twice.cwl", "--number", "4").code == 0
    assert command("--server", url, "--run-name", "third", "fails.cwl").code == 1

    def names(*options: str) -> list[str]:
        listed = json.loads(command("runs", "--server", url, "--json", *options).stdout)
        return [one["name"] for one in listed if one["name"] in ("first", "second", "third")]

    assert names() == ["third", "second", "first"]
    assert names("--status", "failed", "--since", "1d") == ["third"]
    assert names("--document", "twice*", "--name", "f*") == ["first"]
    assert len(json.loads(command("runs", "--server", url, "--json", "--limit", "1").stdout)) == 1
    assert "exit code 3" in command("explain", "--server", url, "third", "fails.cwl").stdout
    explained = command("explain", "--server", url, "third", "fails.cwl", "--json")
    assert json.loads(explained.stdout)[0]["state"] == "failed"
    assert command("export", "--server", url, "first", "crate").code == 0
    assert command("verify", "crate").code == 0
    assert command("export", "--server", url, "first", "crate.zip").code == 0
    assert command("verify", "crate.zip").code == 0
    assert "exists already" in command("export", "--server", url, "first", "crate.zip").stderr
    assert "has no effect with --server" in command("export", "--server", url, "--license", "x", "first", "c").stderr

    listed = command("rm", "--server", url, "--name", "t*", "--status", "failed", "--dry-run")
    assert "third" in listed.stdout
    assert "nothing was removed" in listed.stderr
    assert "--yes" in command("rm", "--server", url, "--name", "t*", "--status", "failed").stderr
    removed = command("rm", "--server", url, "--name", "t*", "--status", "failed", "--yes")
    assert (removed.code, "is removed" in removed.stderr) == (0, True), removed.stderr
    assert command("rm", "--server", url, "first", "second").stderr.count("is removed") == 2
    assert names() == []
    assert "There is no run first" in command("rm", "--server", url, "first").stderr
    assert "no run matches" in command("rm", "--server", url, "--name", "third", "--yes").stderr
    for wrong in ((), ("first", "--name", "x"), ("--data", "first")):
        assert command("rm", "--server", url, *wrong).code != 0


@pytest.mark.docker
def test_costs_and_files_of_runs_at_a_service_are_shown_as_those_of_runs_here(served: Wes, url: str, desk: Path):
    says = shell("echo some text", outputs={"text": "stdout"}, stdout="text.txt", requirements=IMAGE)
    (desk / "says.cwl").write_text(json.dumps(says))
    assert command("--server", url, "--run-name", "says", "says.cwl").code == 0
    run = json.loads(command("status", "--server", url, "says", "--json").stdout)["run"]

    costs = json.loads(command("usage", "--server", url, "says", "--json").stdout)
    assert (costs["runs"], costs["total"]["jobs"], costs["total"]["failed"]) == ([run], 1, 0)
    assert costs["total"]["wall_s"] > 0
    every = json.loads(command("usage", "--server", url, "--by", "step", "--json").stdout)
    assert run in every["runs"]
    assert any("says" in group["name"] for group in every["groups"])
    assert "says" in command("usage", "--server", url, "--since", "1d").stdout
    assert json.loads(command("usage", "--server", url, "--since", "2999-01-01", "--json").stdout)["runs"] == []
    assert "no effect with --server" in command("usage", "--server", url, "--backend", "dirac").stderr

    (file,) = json.loads(command("data", "--server", url, "says", "--json").stdout)["files"]
    assert (file["output"], file["state"], file["size"]) == ("text", "published", 10)
    assert served.http.get(file["path"]).text == "some text\n"
    assert "1 file(s) at the service" in command("data", "--server", url, "says").stdout
    assert "There is no run none" in command("data", "--server", url, "none").stderr

    assert json.loads(command("sites", "--server", url, "--json").stdout)[0]["queues"]
    assert "cores" in command("sites", "--server", url).stdout.splitlines()[0]


@pytest.mark.docker
@pytest.mark.usefixtures("desk")
def test_what_a_resumed_run_cost_is_counted_once(served: Wes, url: str):
    failed = served.submit({"cwlVersion": "v1.2", **FAILS})
    served.ended(failed)
    assert command("resume", "--server", url, failed).code == 1
    again = json.loads(command("status", "--server", url, "last", "--json").stdout)["run"]
    assert again != failed
    costs = json.loads(command("usage", "--server", url, failed, again, "--json").stdout)
    assert (costs["runs"], costs["total"]["attempts"]) == ([failed], 2)
    every = json.loads(command("usage", "--server", url, "--json").stdout)
    assert next(one for one in every["groups"] if one["name"] == failed)["attempts"] == 2
    assert again not in every["runs"]


@pytest.mark.parametrize(
    ("words", "instead"),
    [
        (["doctor"], "gridcwl whoami --server URL"),
        (["lint", "twice.cwl"], "a service checks"),
        (["plan", "twice.cwl"], "gridcwl sites --server URL"),
        (["verify", "crate"], "gridcwl export RUN"),
        (["lineage", "x"], "gridcwl export RUN"),
        (["rerun", "last"], "gridcwl export RUN"),
        (["shell", "last", "step"], "gridcwl logs RUN STEP --server URL"),
        (["pool", "ls"], "Whoever runs the service"),
        (["serve"], "Leave out"),
        (["testbed", "up"], "Leave out"),
    ],
)
def test_commands_that_a_service_does_not_have_name_what_to_do(words: list[str], instead: str):
    for option in (["--server", "http://127.0.0.1:9"], ["--server=http://127.0.0.1:9"]):
        result = command(*words, *option)
        assert result.code == 2
        assert f"{words[0]}: --server is not supported" in result.stderr
        assert instead.casefold() in result.stderr.casefold()


@pytest.mark.docker
@pytest.mark.usefixtures("desk")
def test_an_active_run_of_a_service_is_not_removed(served: Wes, url: str):
    run = served.submit({"cwlVersion": "v1.2", **shell("sleep 600", requirements=IMAGE)})
    refused = command("rm", "--server", url, run)
    assert (refused.code, "still active" in refused.stderr) == (1, True), refused.stderr
    assert f"gridcwl cancel --server {url} {run}" in refused.stderr
    assert command("cancel", "--server", url, run).code == 0
    assert command("rm", "--server", url, run).code == 0


@pytest.mark.usefixtures("desk")
def test_python_uses_a_service_as_it_uses_this_machine(url: str):
    async def main() -> tuple[Any, ...]:
        async with gridcwl.Client(server=url) as client:
            run = await client.submit("twice.cwl", {"number": 21})
            events = [type(event).__name__ async for event in run.events()]
            opened = await client.open(run.id)
            listed = [status.run for status in await client.runs()]
            return await run.result(), events, await opened.status(), run.id in listed

    outputs, events, status, listed = asyncio.run(main())
    assert outputs == {"twice": 42}
    assert events[-1] == "RunEnded"
    assert (status.state, status.document, listed) == ("success", "document/twice.cwl", True)


def test_settings_that_the_service_decides_are_refused(url: str):
    with pytest.raises(gridcwl.ConfigError, match="backend has no effect"):
        gridcwl.Client(server=url, backend="dirac")
    with pytest.raises(gridcwl.ConfigError, match="not the URL of a service"):
        gridcwl.Client(server="somewhere")


@pytest.mark.usefixtures("desk")
def test_a_service_that_does_not_answer_is_one_sentence():
    result = command("--server", "http://127.0.0.1:9", "twice.cwl", "--number", "1")
    assert result.code == 1
    assert "does not answer" in result.stderr
    assert "Traceback" not in result.stderr
