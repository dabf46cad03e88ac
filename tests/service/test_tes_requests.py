"""GA4GH TES 1.1: which tasks are accepted, and how they are listed. No container is started."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import update
from tes import DEBIAN, TES, post, shell_task
from wes import Wes, serving

from gridcwl.service.db import TASK_KIND, NewRun
from gridcwl.service.schema import runs
from gridcwl.service.states import State
from gridcwl.service.tes.places import places
from gridcwl.service.tes.request import decoded


@pytest.fixture(scope="module")
def tes(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Wes]:
    folder = tmp_path_factory.mktemp("tes")
    for name in ("in", "out", "elsewhere"):
        (folder / name).mkdir()
    (folder / "out" / "link").symlink_to(folder / "elsewhere")
    options = {"file_roots": [str(folder / "in")], "output_roots": [str(folder / "out")]}
    urls = {"allowed_urls": ["https://data.example.org/a/"], "output_urls": ["https://up.example.org/"]}
    with serving(folder, **options, **urls) as client:
        yield client


def test_service_info_has_what_the_specification_demands(tes: Wes):
    info = tes.http.get(f"{TES}/service-info").json()
    assert info["type"] == {"group": "org.ga4gh", "artifact": "tes", "version": "1.1.0"}
    assert info.keys() >= {"id", "name", "organization", "version", "storage", "tesResources_backend_parameters"}
    assert "https://up.example.org/" in info["storage"]
    assert "priority" in info["tesResources_backend_parameters"]


INPUT = {"path": "/data/x", "url": "https://data.example.org/a/x"}
OUTPUT = {"path": "/data/y", "url": "https://up.example.org/y"}


def executor(**fields: Any) -> dict[str, Any]:
    return {"executors": [{"image": DEBIAN, "command": ["true"], **fields}]}


WRONG = {
    "no executors": ({"executors": []}, "executors"),
    "no executors at all": ({"name": "x"}, "executors"),
    "no object": ([], "not a task"),
    "no command": (executor(command=[]), "command"),
    "an empty command": (executor(command=[""]), "command"),
    "a command that is a text": (executor(command="true"), "command"),
    "an image that is an option": (executor(image="--privileged"), "image"),
    "an image with a space": (executor(image="debian -v /:/x"), "image"),
    "a relative working directory": (executor(workdir="data"), "workdir"),
    "a path with ..": (executor(stdout="/data/../etc/x"), "stdout"),
    "a stream at the root": (executor(stdout="/x"), "/x"),
    "stdin that nobody brings": (executor(stdin="/image/file"), "stdin"),
    "a variable without a name": (executor(env={"": "x"}), "env"),
    "a variable that is a number": (executor(env={"X": 1}), "env"),
    "a NUL": (executor(command=["a\0b"]), "NUL"),
    "an input without a place": (shell_task("true", inputs=[{"url": INPUT["url"]}]), "path"),
    "an input without a source": (shell_task("true", inputs=[{"path": "/data/x"}]), "neither url nor content"),
    "a relative input": (shell_task("true", inputs=[{**INPUT, "path": "x"}]), "inputs[0].path"),
    "the root as an input": (shell_task("true", inputs=[{**INPUT, "path": "/"}]), "inputs[0].path"),
    "a system folder": (shell_task("true", inputs=[{**INPUT, "path": "/proc/1"}]), "system"),
    "two inputs at one place": (shell_task("true", inputs=[INPUT, INPUT]), "Two inputs"),
    "a file above a file": (shell_task("true", inputs=[INPUT, {**INPUT, "path": "/data/x/y"}]), "below it"),
    "a folder by https": (shell_task("true", inputs=[{**INPUT, "type": "DIRECTORY"}]), "DIRECTORY"),
    "a type that is none": (shell_task("true", inputs=[{**INPUT, "type": "LINK"}]), "type"),
    "a URL elsewhere": (shell_task("true", inputs=[{**INPUT, "url": "https://data.example.org/b"}]), "fetches from"),
    "a URL with dots": (
        shell_task("true", inputs=[{**INPUT, "url": "https://data.example.org/a/%2e%2e/b"}]),
        "fetches",
    ),
    "a URL with a user": (
        shell_task("true", inputs=[{**INPUT, "url": "https://u@data.example.org/a/x"}]),
        "fetches from",
    ),
    "a file of this machine": (shell_task("true", inputs=[{**INPUT, "url": "file:///etc/passwd"}]), "reads"),
    "a path of this machine": (shell_task("true", inputs=[{**INPUT, "url": "/etc/passwd"}]), "reads"),
    "another kind of URL": (shell_task("true", inputs=[{**INPUT, "url": "s3://bucket/key"}]), "does not read"),
    "an output without a URL": (shell_task("true", outputs=[{"path": "/data/y"}]), "url"),
    "an output elsewhere": (shell_task("true", outputs=[{**OUTPUT, "url": "https://down.example.org/y"}]), "writes to"),
    "an output in /etc": (shell_task("true", outputs=[{**OUTPUT, "url": "file:///etc/cron.d/x"}]), "writes to"),
    "another kind of output": (shell_task("true", outputs=[{**OUTPUT, "url": "s3://b/k"}]), "does not write"),
    "an output at the root": (shell_task("true", outputs=[{**OUTPUT, "path": "/y"}]), "Use a folder"),
    "an output over programs": (shell_task("true", outputs=[{**OUTPUT, "path": "/bin/y"}]), "system"),
    "an output that is an input": (shell_task("true", inputs=[INPUT], volumes=["/data/x"]), "file"),
    "wildcards without a prefix": (shell_task("true", outputs=[{**OUTPUT, "path": "/data/*"}]), "path_prefix"),
    "another prefix": (shell_task("true", outputs=[{**OUTPUT, "path": "/data/*", "path_prefix": "/x"}]), "path_prefix"),
    "a volume of the system": (shell_task("true", volumes=["/dev/shm"]), "system"),
    "cores that are a text": (shell_task("true", resources={"cpu_cores": "4"}), "cpu_cores"),
    "no memory": (shell_task("true", resources={"ram_gb": -1}), "ram_gb"),
    "a zone that is an expression": (shell_task("true", resources={"zones": ["$(inputs)"]}), "zones"),
    "a parameter that is no number": (
        shell_task("true", resources={"backend_parameters": {"Priority": "high"}}),
        "Priority",
    ),
    "a strict parameter": (
        shell_task("true", resources={"backend_parameters": {"VmSize": "L"}, "backend_parameters_strict": True}),
        "VmSize",
    ),
    "a tag that is a number": (shell_task("true", tags={"x": 1}), "tags"),
    "too many tags": (shell_task("true", tags={str(n): "" for n in range(101)}), "tags"),
    "too many executors": (shell_task(*["true"] * 101), "executors"),
    "too many volumes": (shell_task("true", volumes=[f"/v/{n}" for n in range(101)]), "volumes"),
    "a long name": (shell_task("true", name="x" * 1001), "name"),
}


@pytest.mark.parametrize("what", WRONG)
def test_a_task_that_is_wrong_is_refused_with_its_reason(tes: Wes, what: str):
    task, reason = WRONG[what]
    answer = post(tes, task)
    assert answer.status_code == 400, answer.text
    assert reason in answer.json()["msg"]


@pytest.mark.parametrize("body", [b"", b"{", b"\xff", b'{"executors": NaN}', b"[" * 100_000])
def test_what_is_no_json_is_refused(tes: Wes, body: bytes):
    assert tes.http.post(f"{TES}/tasks", content=body).status_code == 400


def test_an_output_behind_a_link_is_refused(tes: Wes):
    assert tes.settings is not None
    place = tes.settings.output_roots[0] / "link" / "x"
    answer = post(tes, shell_task("true", outputs=[{"path": "/data/y", "url": place.as_uri()}]))
    assert answer.status_code == 400


def put(tes: Wes, run: str, *, state: State = State.COMPLETE, **fields: Any) -> None:
    """A task that has ended, without running one."""
    task = {**shell_task("true"), **fields.pop("task", {})}
    request = {"task": task, "warnings": ["noted"]}
    db = tes.service.db
    with db.engine.begin() as connection:
        connection.execute(update(runs).where(runs.c.id == run).values(state=state))
    assert db.add(NewRun(id=run, owner="a", request=request, document="x", kind=TASK_KIND, **fields), 1000)
    with db.engine.begin() as connection:
        connection.execute(update(runs).where(runs.c.id == run).values(state=state))


@pytest.fixture
def listed(tmp_path: Path) -> Iterator[Wes]:
    """A service with five tasks and a run, of which nothing is worked on."""
    with serving(tmp_path) as client:
        client.service.driver._stopping = True
        put(client, "t1", name="align 1", tags={"foo": "bar", "baz": "bat"})
        put(client, "t2", name="align 2", tags={"foo": "bat"})
        put(client, "t3", name="Align 3", tags={"foo": ""}, state=State.CANCELED)
        put(client, "t4", name="sort%", tags={})
        put(client, "t5", task={"inputs": [{"path": "/x/y", "content": "text"}]})
        client.service.db.add(NewRun(id="run", owner="a", request={}, document="x"), 1000)
        yield client


def found(tes: Wes, query: str) -> list[str]:
    answer = tes.http.get(f"{TES}/tasks?{query}")
    assert answer.status_code == 200, answer.text
    return [task["id"] for task in answer.json()["tasks"]]


@pytest.mark.parametrize(
    ("query", "tasks"),
    [
        ("", ["t5", "t4", "t3", "t2", "t1"]),
        ("name_prefix=align", ["t2", "t1"]),
        ("name_prefix=sort%25", ["t4"]),
        ("name_prefix=%25", []),
        ("state=CANCELED", ["t3"]),
        ("state=QUEUED", []),
        ("tag_key=foo", ["t3", "t2", "t1"]),
        ("tag_key=foo&tag_value=", ["t3", "t2", "t1"]),
        ("tag_key=foo&tag_value=bar", ["t1"]),
        ("tag_key=foo&tag_value=bar&tag_key=baz&tag_value=bat", ["t1"]),
        ("tag_key=foo&tag_value=bar&tag_key=baz", ["t1"]),
        ("tag_key=baz&tag_key=foo&tag_value=bat&tag_value=bat", []),
        ("tag_key=none", []),
        ("name_prefix=align&tag_key=foo&tag_value=bat&state=COMPLETE&view=FULL", ["t2"]),
    ],
)
def test_tasks_are_filtered_by_name_state_and_tags(listed: Wes, query: str, tasks: list[str]):
    assert found(listed, query) == tasks


def test_pages_follow_each_other_and_runs_of_wes_are_in_a_list_of_their_own(listed: Wes):
    seen, token = [], ""
    for _ in range(3):
        page = listed.http.get(f"{TES}/tasks", params={"page_size": 2, "page_token": token}).json()
        seen += [task["id"] for task in page["tasks"]]
        token = page.get("next_page_token", "")
    assert (seen, token) == (["t5", "t4", "t3", "t2", "t1"], "")
    assert [run["run_id"] for run in listed.get("/runs").json()["runs"]] == ["run"]
    assert listed.http.get(f"{TES}/tasks/run").status_code == 404
    wes_token = listed.get("/runs", params={"page_size": 1}).json()["next_page_token"] or "bm9uZQ"
    assert listed.http.get(f"{TES}/tasks", params={"page_token": wes_token}).status_code == 400


@pytest.mark.parametrize(
    "query", ["page_size=0", "page_size=2048", "page_size=x", "view=ALL", "state=DONE", "tag_value=x", "tag_key=%00"]
)
def test_a_query_that_means_nothing_is_refused(listed: Wes, query: str):
    assert listed.http.get(f"{TES}/tasks?{query}").status_code == 400


def test_views_have_what_the_specification_says(listed: Wes):
    def view(name: str) -> dict[str, Any]:
        return dict(listed.http.get(f"{TES}/tasks/t5", params={"view": name}).json())

    assert view("MINIMAL") == listed.http.get(f"{TES}/tasks/t5").json() == {"id": "t5", "state": "COMPLETE"}
    assert view("BASIC")["inputs"] == [{"type": "FILE", "path": "/x/y"}]
    assert view("FULL")["inputs"] == [{"type": "FILE", "path": "/x/y", "content": "text"}]
    assert "system_logs" not in json.dumps(view("BASIC"))
    assert view("FULL")["logs"][0]["system_logs"] == ["noted"]
    assert view("FULL")["creation_time"].endswith("Z")


def test_folders_are_those_that_executors_write_to():
    task = {
        "executors": [{"image": "x", "command": ["x"], "workdir": "/opt/app", "stdout": "/logs/a/out"}],
        "volumes": ["/logs"],
        "inputs": [{"path": "/data/dir", "url": "/x", "type": "DIRECTORY"}, {"path": "/ref/x", "url": "/x"}],
        "outputs": [
            {"path": "/data/dir/new", "url": "/x"},
            {"path": "/tmp/w/*/x", "url": "/x", "path_prefix": "/tmp/"},
        ],
    }
    made = places(decoded(json.dumps(task).encode()))
    assert made.folders == ("/data/dir", "/logs", "/tmp")
    assert made.made == ("/logs/a", "/tmp/w")
    assert made.changed == {0}
    assert made.inside("/tmp/w/*/x") == "folders/2/w/*/x"
    assert made.outside("folders/2/w/1/x") == "/tmp/w/1/x"
