"""``gridcwl plan`` and ``--dry-run`` of a run on this machine: what it would do, and that it does none of it."""

from __future__ import annotations

import json
import threading
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import pytest
from commandline import gridcwl
from documents import Desk

from gridcwl.backends.local import presence
from gridcwl.backends.local.presence import Presence, compressed_size
from gridcwl.model import Image

COUNT = {
    "class": "CommandLineTool",
    "baseCommand": ["wc", "-l"],
    "inputs": {"text": {"type": "File", "inputBinding": {}}},
    "outputs": {"number": "stdout"},
}
WORKFLOW = {
    "cwlVersion": "v1.2",
    "class": "Workflow",
    "requirements": {"ScatterFeatureRequirement": {}},
    "inputs": {"texts": "File[]"},
    "outputs": {"all": {"type": "File", "outputSource": "add/all"}},
    "steps": {
        "add": {
            "in": {"numbers": "count/number"},
            "out": ["all"],
            "run": {
                "class": "CommandLineTool",
                "baseCommand": "cat",
                "inputs": {"numbers": {"type": "File[]", "inputBinding": {}}},
                "outputs": {"all": "stdout"},
            },
        },
        "count": {"scatter": "text", "in": {"text": "texts"}, "out": ["number"], "run": COUNT},
    },
}


@pytest.fixture
def words(desk: Desk) -> list[str]:
    (desk.folder / "one.txt").write_text("1\n")
    (desk.folder / "two.txt").write_text("1\n2\n")
    inputs = {"texts": [{"class": "File", "path": "one.txt"}, {"class": "File", "path": "two.txt"}]}
    return [str(desk.write("count.cwl", WORKFLOW)), str(desk.write("in.json", inputs))]


def test_a_plan_shows_each_step_and_runs_none(
    desk: Desk, words: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("GRIDCWL_STATE_DIR", str(tmp_path / "state"))
    result = gridcwl("plan", "--outdir", "out", *words)
    assert result.code == 0, result.stderr
    count, add, outputs = result.stdout.split("\n\n")
    assert count.startswith("count: jobs 2\n")
    assert "command    wc -l /gridcwl/in/0/one.txt   (count[0])" in count
    assert "input      6 bytes, at most 4 bytes for one job" in count
    assert "image      none" in count
    assert "reused     0 of 2\n             2 jobs, the first count[0]: runs: no earlier run has such a job" in count
    assert add.startswith("add: jobs 1\n"), "steps come in the order in which they run"
    assert "its inputs come from other steps" in add
    assert outputs == f"outputs      {desk.folder}/out\n"
    assert not (desk.folder / "out").exists()
    assert gridcwl("runs", "--json").stdout.strip() == "[]"


def test_a_dry_run_is_a_plan(words: list[str]) -> None:
    assert gridcwl("--dry-run", *words).stdout == gridcwl("plan", *words).stdout


def test_a_plan_reports_what_would_be_reused_and_what_not_and_why(desk: Desk, words: list[str]) -> None:
    cache = ("--cachedir", "kept")
    assert gridcwl("--quiet", "--outdir", "out", *cache, *words).code == 0
    text = gridcwl("plan", *cache, *words).stdout
    assert "reused     2 of 2\n             count[0]: taken from run 2" in text
    (desk.folder / "two.txt").write_text("changed\n")
    text = gridcwl("plan", *cache, *words).stdout
    assert "reused     1 of 2" in text
    assert "count[1]: runs: differs from run " in text
    assert "in: input /gridcwl/in/0/two.txt" in text
    (desk.folder / "two.txt").write_text("1\n2\n")
    assert "has its result, but --cache is not set" in gridcwl("plan", *words).stdout


def test_a_plan_of_a_run_that_cannot_be_done_reports_why_and_fails(desk: Desk) -> None:
    large = {"cwlVersion": "v1.2", **COUNT, "requirements": {"ResourceRequirement": {"coresMin": 4000}}}
    (desk.folder / "one.txt").write_text("1\n")
    result = gridcwl("plan", desk.write("large.cwl", large), "--text", "one.txt")
    assert result.code == 1
    assert "problem    large.cwl asks for 4000 cores" in result.stdout
    taken = gridcwl(
        "plan", "--outdir", "one.txt", desk.write("t.cwl", {"cwlVersion": "v1.2", **COUNT}), "--text=one.txt"
    )
    assert taken.code == 1
    assert "one.txt cannot be put in place" in taken.stdout.partition("\nconflict     ")[2]


def test_a_plan_names_outputs_that_would_meet_files_of_others(desk: Desk) -> None:
    named = {"cwlVersion": "v1.2", **COUNT, "stdout": "number.txt"}
    (desk.folder / "one.txt").write_text("1\n")
    words = (desk.write("named.cwl", named), "--text=one.txt")
    assert gridcwl("plan", "--outdir", "out", *words).stdout.endswith(f"{desk.folder}/out\n             number.txt\n")
    (desk.folder / "out").mkdir()
    (desk.folder / "out" / "number.txt").write_text("mine")
    result = gridcwl("plan", "--outdir", "out", *words)
    assert result.code == 1
    assert "number.txt" in result.stdout.partition("\nconflict     ")[2]
    assert gridcwl("plan", "--outdir", "out", "--overwrite", *words).code == 0


def scattered(name: str) -> dict[str, object]:
    """A workflow whose final outputs are those of a scatter, with this name of its files."""
    return {
        "cwlVersion": "v1.2",
        "class": "Workflow",
        "requirements": {"ScatterFeatureRequirement": {}, "InlineJavascriptRequirement": {}},
        "inputs": {"texts": "File[]"},
        "outputs": {"numbers": {"type": "File[]", "outputSource": "count/number"}},
        "steps": {
            "count": {
                "scatter": "text",
                "in": {"text": "texts"},
                "out": ["number"],
                "run": {**COUNT, "stdout": name},
            }
        },
    }


@pytest.mark.parametrize(
    ("name", "listed"),
    [
        ("$(inputs.text.nameroot).count", ["one.count", "two.count"]),
        ("${return inputs.text.nameroot + '.count'}", ["one.count", "two.count"]),
        ("number.count", ["number.count", "number_2.count"]),
    ],
)
def test_a_plan_names_the_outputs_of_all_shards_and_the_files_that_they_would_meet(
    desk: Desk, words: list[str], name: str, listed: list[str]
) -> None:
    words[0] = str(desk.write("scattered.cwl", scattered(name)))
    result = gridcwl("plan", "--outdir", "out", *words)
    assert result.stdout.endswith(f"{desk.folder}/out\n             {', '.join(listed)}\n")
    (desk.folder / "out").mkdir()
    (desk.folder / "out" / listed[-1]).write_text("mine")
    result = gridcwl("plan", "--outdir", "out", *words)
    assert result.code == 1
    assert f"out/{listed[-1]}" in result.stdout.partition("\nconflict     ")[2]
    assert gridcwl("--quiet", "--outdir", "other", *words).code == 0
    assert sorted(path.name for path in (desk.folder / "other").iterdir()) == listed


def test_a_plan_of_workflows_in_workflows_names_what_the_run_publishes(desk: Desk, words: list[str]) -> None:
    inner = scattered("number.count")
    final = {
        "n": {"type": "Any", "outputSource": "inner/numbers"},
        "again": {"type": "Any", "outputSource": "inner/numbers"},
        "single": {"type": "Any", "outputSource": "one/number"},
        "never": {"type": "Any", "outputSource": "conditional/number"},
    }
    one = {**COUNT, "stdout": "number.count"}
    outer = {
        "cwlVersion": "v1.2",
        "class": "Workflow",
        "requirements": {
            feature: {} for feature in ("ScatterFeatureRequirement", "SubworkflowFeatureRequirement",
                                        "StepInputExpressionRequirement", "InlineJavascriptRequirement")
        },
        "inputs": {"texts": "File[]"},
        "outputs": final,
        "steps": {
            "inner": {
                "scatter": "texts",
                "in": {"texts": {"source": "texts", "valueFrom": "$([self])"}},
                "out": ["numbers"],
                "run": inner,
            },
            "one": {"in": {"text": {"source": "texts", "valueFrom": "$(self[1])"}}, "out": ["number"], "run": one},
            "conditional": {
                "when": "$(false)",
                "in": {"text": {"source": "texts", "valueFrom": "$(self[1])"}},
                "out": ["number"],
                "run": {**COUNT, "stdout": "skipped.count"},
            },
        },
    }  # fmt: skip
    words[0] = str(desk.write("outer.cwl", outer))
    listed = ["number.count", "number_2.count", "number_3.count"]
    assert gridcwl("plan", "--outdir", "out", *words).stdout.endswith(f"out\n             {', '.join(listed)}\n")
    assert gridcwl("--quiet", "--outdir", "out", *words).code == 0
    assert sorted(path.name for path in (desk.folder / "out").iterdir()) == listed


def test_a_plan_reports_whether_images_are_here(desk: Desk, words: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    states = {"here:1": Presence("present", 77_800_000), "far:2": Presence("to be pulled", 1_250_000_000)}
    monkeypatch.setattr(presence, "presences", lambda _engine, images: {image.id: states[image.id] for image in images})
    document = json.loads((desk.folder / "count.cwl").read_text())
    for step, image in (("count", "here:1"), ("add", "far:2")):
        document["steps"][step]["run"]["requirements"] = {"DockerRequirement": {"dockerPull": image}}
    desk.write("count.cwl", document)
    text = gridcwl("plan", *words).stdout
    assert "image      here:1: present, 77.8 MB" in text
    assert "image      far:2: to be pulled, 1.25 GB" in text


@pytest.mark.docker
def test_the_engine_is_asked_for_images() -> None:
    images = [
        Image("debian:trixie-slim", pull="debian:trixie-slim"),
        Image("localhost:1/no:1", pull="localhost:1/no:1"),
    ]
    found = presence.presences("docker", images)
    assert found["debian:trixie-slim"].state == "present"
    assert (found["debian:trixie-slim"].size or 0) > 1_000_000
    assert found["localhost:1/no:1"] == Presence("to be pulled", None)


class _Registry(BaseHTTPRequestHandler):
    """A registry that wants a token and has an index of two platforms."""

    def do_GET(self) -> None:
        here = f"http://localhost:{self.server.server_port}"  # type: ignore[attr-defined]
        if self.path.startswith("/token"):
            self._answer(200, {"token": "secret"})
        elif self.headers.get("Authorization") != "Bearer secret":
            self._answer(401, {}, f'Bearer realm="{here}/token",service="s",scope="repository:a/b:pull"')
        elif self.path == "/v2/a/b/manifests/1":
            chosen = presence._architecture()
            self._answer(200, {"manifests": [_platform("other", "sha256:0"), _platform(chosen, "sha256:1")]})
        elif self.path == "/v2/a/b/manifests/sha256:1":
            self._answer(200, {"layers": [{"size": 20}, {"size": 3}]})
        else:
            self._answer(404, {})

    def _answer(self, status: int, body: object, challenge: str = "") -> None:
        self.send_response(status)
        if challenge:
            self.send_header("WWW-Authenticate", challenge)
        self.end_headers()
        self.wfile.write(json.dumps(body).encode())

    def log_message(self, *_args: object) -> None:
        """Nothing."""


def _platform(architecture: str, digest: str) -> dict[str, object]:
    return {"digest": digest, "platform": {"architecture": architecture}}


def test_a_registry_reports_how_much_a_pull_would_move() -> None:
    server = HTTPServer(("localhost", 0), _Registry)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        assert compressed_size(f"localhost:{server.server_port}/a/b:1") == 23
        assert compressed_size(f"localhost:{server.server_port}/not/there") is None
    finally:
        server.shutdown()
        server.server_close()


def test_a_plan_states_the_disk_space_of_a_step_from_its_requests_and_then_from_an_earlier_run(desk: Desk) -> None:
    doubled = {
        "cwlVersion": "v1.2",
        "class": "CommandLineTool",
        "requirements": {
            "ResourceRequirement": {"outdirMin": 3, "tmpdirMin": 2},
            "InitialWorkDirRequirement": {"listing": [{"entry": "$(inputs.data)", "writable": True}]},
        },
        "baseCommand": ["cp", "-r"],
        "arguments": ["$(inputs.data.basename)", "copy"],
        "inputs": {"data": "Directory"},
        "outputs": {"copy": {"type": "Directory", "outputBinding": {"glob": "copy"}}},
    }
    folder = desk.folder / "data" / "inner"
    folder.mkdir(parents=True)
    (folder / "a.bin").write_bytes(bytes(40_000))
    (folder.parent / "b.bin").write_bytes(bytes(10_000))
    words = (desk.write("doubled.cwl", doubled), "--data=data")
    text = gridcwl("plan", *words).stdout
    assert "input      50 kB" in text
    assert "disk       up to 5.24 MB for one job: 5.24 MB requested; no earlier run is known" in text
    assert gridcwl("--quiet", "--outdir", "out", *words).code == 0
    assert "disk       100 kB for one job: 100 kB written, going by run 2" in gridcwl("plan", *words).stdout
