"""The Docker daemon is restarted, or killed, while jobs run."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import closing, suppress
from pathlib import Path

import pytest
from kept_runs import Client, Desk
from own_docker import OwnDocker, Unavailable, own_docker
from waiting import files_below, until

pytestmark = pytest.mark.docker

IMAGE = "gridcwl-test-shell:1"

SAY = """\
cwlVersion: v1.2
class: CommandLineTool
requirements: {DockerRequirement: {dockerImageId: IMAGE}, ResourceRequirement: {coresMin: 0.1, ramMin: 64}}
baseCommand: [sh, -c]
arguments:
  - |
    echo here >&2
    while [ ! -e "$0/$1" ] && [ ! -e "$0/all" ]; do sleep 0.05; done
    cat "$2" && echo "$1"
inputs:
  marks: string
  gate: {type: Directory, inputBinding: {position: 1}}
  n: {type: string, inputBinding: {position: 2}}
  word: {type: File, inputBinding: {position: 3}}
outputs: {said: stdout}
stdout: said.txt
"""
"""As ``kept_runs.SAY``, but that a container sees only what it is given: it leaves no marks outside."""


@pytest.fixture
def engine() -> Iterator[OwnDocker]:
    """A new one for each test: an engine that was killed may leave the next test something that is not its own."""
    try:
        with own_docker() as made:
            made.load(IMAGE.partition(":")[0], "sh", "cat", "sleep")
            yield made
    except Unavailable as reason:
        pytest.skip(str(reason))


@pytest.fixture
def desk(tmp_path: Path, engine: OwnDocker) -> Iterator[Desk]:
    made = Desk(tmp_path / "desk", list("abc"))  # all at once: which of many comes first is nobody's promise
    made.environment["DOCKER_HOST"] = engine.host
    (made.folder / "say.cwl").write_text(SAY.replace("IMAGE", IMAGE))
    flow = (made.folder / "wf.cwl").read_text()
    (made.folder / "wf.cwl").write_text(flow.replace("gate: string", "gate: Directory"))
    values = json.loads((made.folder / "in.json").read_text())
    values["gate"] = {"class": "Directory", "path": str(made.gate)}
    (made.folder / "in.json").write_text(json.dumps(values))
    yield made
    made.leave()


def begin(desk: Desk, engine: OwnDocker, *options: str) -> Client:
    """A run whose shard a has ended, and whose shards b and c are in containers now."""
    desk.open("a")
    words = [word for word in desk.words(*options) if word != "--no-container"]
    client = desk.start("--docker", *words)
    try:
        client.until(lambda: "a" in desk.recorded() and len(engine.running()) >= 2 and len(here(desk)) == 2)
    except AssertionError as error:
        error.add_note(f"recorded: {desk.recorded()}; containers: {engine.containers()}, running: {engine.running()}")
        error.add_note(f"tools that said something: {here(desk)}\nthe engine said: {engine.log()[-3000:]}")
        raise
    return client


def here(desk: Desk) -> list[Path]:
    """The logs of tools that run now: a container may run before its tool can be asked to stop."""
    return [log for log in files_below(desk.folder / "tmp", "stderr.log") if _size(log)]


def _size(log: Path) -> int:
    with suppress(FileNotFoundError):  # the job has ended meanwhile
        return log.stat().st_size
    return 0


def attempts(desk: Desk) -> dict[str, int]:
    """How often each shard was tried in its last session, as the journal has it."""
    with closing(desk.history()) as history:
        return {desk.shards[int(row.name[4:-1])]: row.attempt for row in history.jobs() if row.name.startswith("say[")}


@pytest.mark.parametrize(("signal", "options"), [("TERM", []), ("KILL", []), ("KILL", ["--reuse-containers"])])
def test_with_retries_a_run_outlives_a_restart_of_the_daemon(
    desk: Desk, engine: OwnDocker, signal: str, options: list[str]
) -> None:
    client = begin(desk, engine, "--retries", "8", *options)
    engine.stop(signal)
    desk.open("all")
    engine.start()
    ended = client.end()
    assert ended.code == 0, ended.stderr
    assert Path(ended.outputs["all"]["path"]).read_text() == desk.expected_output()
    tried = attempts(desk)
    assert tried["a"] == 1
    assert tried["b"] > 1
    assert tried["c"] > 1
    until(engine.is_empty)


@pytest.mark.parametrize(
    ("signal", "said"),
    [
        ("TERM", "The Docker engine was stopped, and the running container with it."),
        ("KILL", "The connection to the Docker engine was lost while it handled the running container"),
    ],
)
def test_without_retries_the_run_reports_what_happened_and_continues_when_asked(
    desk: Desk, engine: OwnDocker, signal: str, said: str
) -> None:
    client = begin(desk, engine)
    engine.stop(signal)
    ended = client.end()
    assert ended.code == 1
    assert said in ended.stderr
    assert "gridcwl resume" in ended.stderr
    assert "Traceback" not in ended.stderr
    engine.start()
    until(engine.is_empty)
    desk.open("all")
    again = desk.gridcwl("resume", "last")
    assert again.code == 0, again.stderr
    assert Path(again.outputs["all"]["path"]).read_text() == desk.expected_output()
    assert attempts(desk)["a"] == 1
    until(engine.is_empty)
