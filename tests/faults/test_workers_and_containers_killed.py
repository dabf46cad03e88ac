"""The worker process or a job's container is killed by somebody else."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from contextlib import closing, suppress
from pathlib import Path
from typing import Any

import pytest
from kept_runs import SAY, Desk, running_below
from waiting import until

IMAGE = "debian:trixie-slim"


@pytest.fixture
def desk(tmp_path: Path) -> Iterator[Desk]:
    made = Desk(tmp_path / "desk", list("abcd"))
    yield made
    made.leave()


def working(desk: Desk) -> Path:
    with closing(desk.history()) as history:
        return Path(history.meta("working"))


def workers(desk: Desk) -> list[int]:
    """The worker processes of the run."""
    return [process.pid for process in running_below(working(desk)) if b"gridcwl.worker.server" in process.command]


def test_a_killed_worker_is_reported_its_tools_are_stopped_and_the_run_continues(desk: Desk) -> None:
    client = desk.start(*desk.words("--max-jobs", "1"))
    desk.open("a")
    client.until(lambda: desk.begun() and "b" in desk.starts())
    (worker,) = workers(desk)
    os.kill(worker, signal.SIGKILL)
    desk.open("c", "d")  # one of them may have begun before the failure is known
    ended = client.end()
    assert ended.code == 1
    assert "The worker process was lost" in ended.stderr
    assert "gridcwl resume" in ended.stderr
    until(lambda: not list(running_below(working(desk))))
    desk.open("all")
    again = desk.gridcwl("resume", "last")
    assert again.code == 0, again.stderr
    assert Path(again.outputs["all"]["path"]).read_text() == desk.expected_output()
    assert desk.starts()["a"] == 1


def test_with_retries_a_killed_worker_is_a_thing_of_the_past(desk: Desk) -> None:
    client = desk.start(*desk.words("--max-jobs", "1", "--retries", "1"))
    client.until(lambda: desk.begun() and "a" in desk.starts())
    (worker,) = workers(desk)
    os.kill(worker, signal.SIGKILL)
    desk.open("all")
    ended = client.end()
    assert ended.code == 0, ended.stderr
    assert Path(ended.outputs["all"]["path"]).read_text() == desk.expected_output()
    assert desk.starts() == {"a": 2, "b": 1, "c": 1, "d": 1, "join": 1}


@pytest.mark.docker
def test_a_killed_container_is_reported_and_nothing_of_it_stays(desk: Desk) -> None:
    import docker

    # A container sees neither marks nor gate: shard a waits, the others end.
    waits = SAY.replace('echo "start $n" >> "$marks"', ":").replace('echo "end $n" >> "$marks"', ":")
    waits = waits.replace('while [ ! -e "$gate/$n" ] && [ ! -e "$gate/all" ]; do', 'while [ "$n" = a ]; do')
    (desk.folder / "say.cwl").write_text(f"{waits}requirements: {{DockerRequirement: {{dockerPull: '{IMAGE}'}}}}\n")
    client = desk.start("--quiet", "--outdir", "out", "--max-jobs", "1", "wf.cwl", "in.json")
    engine = docker.from_env()

    def containers() -> list[object]:
        if not desk.begun():
            return []
        with closing(desk.history()) as history:
            run = history.sessions() and next(desk.state.glob("runs/*")).name
        return engine.containers.list(filters={"label": f"gridcwl.run={run}"}, ignore_removed=True)

    client.until(lambda: bool(containers()))
    for container in containers():
        container.kill()  # type: ignore[attr-defined]
    ended = client.end()
    assert ended.code == 1
    assert "SIGKILL" in ended.stderr
    until(lambda: not containers())


@pytest.mark.docker
def test_a_client_killed_in_the_middle_of_a_warm_job_resumes_and_what_had_ended_does_not_run_again(desk: Desk) -> None:
    import docker

    # A container sees neither marks nor gate, but the mode of its input; what runs twice says something else.
    says = SAY.replace('echo "start $n" >> "$marks"', ":").replace('echo "end $n" >> "$marks"', ":")
    says = says.replace('[ ! -e "$gate/$n" ] && [ ! -e "$gate/all" ]', '[ ! -x "$4" ]')
    says = says.replace('&& echo "$n"', "&& cat /proc/sys/kernel/random/uuid")
    (desk.folder / "say.cwl").write_text(f"{says}requirements: {{DockerRequirement: {{dockerPull: '{IMAGE}'}}}}\n")
    engine = docker.from_env()
    for shard in "ab":
        (desk.folder / f"{shard}.word").chmod(0o755)
    words = ["--quiet", "--reuse-containers", "--outdir", "out", "--max-jobs", "1", "wf.cwl", "in.json"]
    client = desk.start(*words)

    def warm() -> list[Any]:
        run = next(desk.state.glob("runs/*")).name
        labels = ["gridcwl.warm=yes", f"gridcwl.run={run}"]
        return engine.containers.list(filters={"label": labels}, ignore_removed=True)

    def third_is_under_way() -> bool:
        with suppress(docker.errors.APIError):  # no process of the container was there when it was asked
            return desk.begun() and len(desk.recorded()) == 2 and any("sleep" in str(one.top()) for one in warm())
        return False

    client.until(third_is_under_way)
    with closing(desk.history()) as history:
        results = [history.result(row.row, row.attempt) for row in history.jobs(where="outcome = 'success'")]
    before = [Path(result.files[0].location.removeprefix("file://")).read_text() for result in results if result]
    ended_before = desk.recorded()
    client.kill()
    for shard in "cd":
        (desk.folder / f"{shard}.word").chmod(0o755)
    again = desk.start("resume", "last").end()
    assert again.code == 0, again.stderr
    answer = {shard: Path(file["path"]).read_text() for shard, file in zip("abcd", again.outputs["said"], strict=True)}
    assert ended_before == {"a", "b"}
    assert sorted(before) == sorted(answer[shard] for shard in ended_before)
    assert all(text.startswith(f"word {shard}\n") for shard, text in answer.items())
    until(lambda: not warm())
