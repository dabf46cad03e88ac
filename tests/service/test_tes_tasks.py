"""GA4GH TES 1.1 as a client sees it: from the task to its outputs."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from tes import DEBIAN, TES, create, get, run, shell_task
from waiting import until
from wes import Wes, serving

pytestmark = pytest.mark.docker


@pytest.fixture(scope="module")
def tes(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Wes]:
    folder = tmp_path_factory.mktemp("tes")
    (folder / "in").mkdir()
    (folder / "out").mkdir()
    before = os.environ.pop("GRIDCWL_ENGINE", None)
    with serving(folder, file_roots=[str(folder / "in")], output_roots=[str(folder / "out")]) as client:
        yield client
    if before is not None:
        os.environ["GRIDCWL_ENGINE"] = before


@pytest.fixture
def given(tes: Wes) -> Path:
    assert tes.settings is not None
    return tes.settings.file_roots[0]


@pytest.fixture
def out(tes: Wes, request: pytest.FixtureRequest) -> Path:
    assert tes.settings is not None
    return tes.settings.output_roots[0] / request.node.name[:60]


def output(path: str, url: Path, **fields: Any) -> dict[str, Any]:
    return {"path": path, "url": url.as_uri(), **fields}


def test_inputs_outputs_and_streams_are_where_the_task_wants_them(tes: Wes, given: Path, out: Path):
    (given / "one.txt").write_text("one\n")
    task = {
        "name": "streams",
        "description": "all fields",
        "inputs": [
            {"url": (given / "one.txt").as_uri(), "path": "/data/in/one.txt", "streamable": True},
            {"content": 'two $(inputs.x) ${y} \\ "\n', "path": "/elsewhere/two.txt"},
        ],
        "outputs": [output("/results/all.txt", out / "all.txt"), output("/results/err.txt", out / "deep" / "err.txt")],
        "executors": [
            {
                "image": DEBIAN,
                "command": [
                    "sh",
                    "-c",
                    'cat - /elsewhere/two.txt; echo "$WORD $(pwd)" >&2; echo "$1" >&2',
                    "x",
                    "$(inputs)",
                ],
                "env": {"WORD": "$(word)"},
                "workdir": "/scratch",
                "stdin": "/data/in/one.txt",
                "stdout": "/results/all.txt",
                "stderr": "/results/err.txt",
            }
        ],
        "resources": {"cpu_cores": 1, "ram_gb": 0.1, "disk_gb": 0.01, "preemptible": False},
        "tags": {"a": "b"},
    }
    done = run(tes, task)
    assert done["state"] == "COMPLETE", done["logs"]
    assert (out / "all.txt").read_text() == 'one\ntwo $(inputs.x) ${y} \\ "\n'
    assert (out / "deep" / "err.txt").read_text() == "$(word) /scratch\n$(inputs)\n"
    (log,) = done["logs"]
    (executor,) = log["logs"]
    assert executor["exit_code"] == 0
    assert executor["stdout"].startswith("one\n")
    assert executor["start_time"] <= executor["end_time"]
    assert log["outputs"] == [
        {
            "url": (out / "all.txt").as_uri(),
            "path": "/results/all.txt",
            "size_bytes": str((out / "all.txt").stat().st_size),
        },
        {"url": (out / "deep/err.txt").as_uri(), "path": "/results/err.txt", "size_bytes": "27"},
    ]
    assert log["start_time"] <= log["end_time"]
    assert (done["tags"], done["description"]) == ({"a": "b"}, "all fields")
    assert done["inputs"][0]["type"] == "FILE"


def test_executors_run_in_order_and_share_volumes(tes: Wes, out: Path):
    task = shell_task(
        "echo first > /vol/a/word; echo out one",
        "cat /vol/a/word; echo second >> /vol/a/word; exit 3",
        "cat /vol/a/word > /b/result; echo err >&2",
        volumes=["/vol/a"],
        outputs=[output("/b/result", out / "result")],
    )
    task["executors"][1]["ignore_error"] = True
    done = run(tes, task)
    assert done["state"] == "COMPLETE", done["logs"]
    assert (out / "result").read_text() == "first\nsecond\n"
    logs = done["logs"][0]["logs"]
    assert [one["exit_code"] for one in logs] == [0, 3, 0]
    assert [one["stdout"] for one in logs] == ["out one\n", "first\n", ""]
    assert logs[2]["stderr"] == "err\n"


def test_the_first_executor_that_fails_ends_the_task(tes: Wes, out: Path):
    done = run(tes, shell_task("exit 0", "echo why >&2; exit 4", "exit 0", outputs=[output("/b/x", out / "x")]))
    assert done["state"] == "EXECUTOR_ERROR"
    assert [one["exit_code"] for one in done["logs"][0]["logs"]] == [0, 4]
    assert done["logs"][0]["logs"][1]["stderr"] == "why\n"
    assert not out.exists()


def test_directories_and_wildcards_keep_the_structure(tes: Wes, given: Path, out: Path):
    (given / "tree" / "sub").mkdir(parents=True)
    (given / "tree" / "sub" / "leaf").write_text("leaf")
    done = run(
        tes,
        shell_task(
            "cp -r /in/tree/. /out/copy; mkdir -p /w/a /w/b; echo 1 > /w/a/x.txt; echo 2 > /w/b/x.txt; "
            "echo 3 > /w/b/y.dat; echo same > /w/a/s.txt; echo same > /w/b/s.txt",
            inputs=[{"url": str(given / "tree"), "path": "/in/tree", "type": "DIRECTORY"}],
            outputs=[
                output("/out/copy", out / "tree", type="DIRECTORY"),
                output("/w/*/*.txt", out / "glob", path_prefix="/w"),
            ],
        ),
    )
    assert done["state"] == "COMPLETE", done["logs"]
    assert (out / "tree" / "sub" / "leaf").read_text() == "leaf"
    found = {path.relative_to(out / "glob").as_posix(): path.read_text() for path in (out / "glob").rglob("*.txt")}
    assert found == {"a/x.txt": "1\n", "b/x.txt": "2\n", "a/s.txt": "same\n", "b/s.txt": "same\n"}
    assert {one["path"] for one in done["logs"][0]["outputs"]} == {
        "/out/copy/sub/leaf",
        *(f"/w/{name}" for name in found),
    }


def test_an_output_below_an_input_directory_changes_a_copy(tes: Wes, given: Path, out: Path):
    (given / "changed").mkdir()
    (given / "changed" / "old").write_text("old")
    done = run(
        tes,
        shell_task(
            "cat old > new; echo more >> old",
            inputs=[{"url": (given / "changed").as_uri(), "path": "/data", "type": "DIRECTORY"}],
            outputs=[output("/data/new", out / "new"), output("/data/old", out / "old")],
        )
        | {
            "executors": [
                {"image": DEBIAN, "command": ["sh", "-c", "cat old > new; echo more >> old"], "workdir": "/data"}
            ]
        },
    )
    assert done["state"] == "COMPLETE", done["logs"]
    assert ((out / "new").read_text(), (out / "old").read_text()) == ("old", "oldmore\n")
    assert (given / "changed" / "old").read_text() == "old"


def test_an_output_that_was_not_made_is_a_system_error(tes: Wes, out: Path):
    done = run(tes, shell_task("true", outputs=[output("/b/missing", out / "x")]))
    assert done["state"] == "SYSTEM_ERROR"
    assert any("/b/missing" in line for line in done["logs"][0]["system_logs"])


def test_an_image_that_is_not_there_is_a_system_error(tes: Wes):
    done = run(tes, {"executors": [{"image": "no.such.host/image:1", "command": ["true"]}]})
    assert done["state"] == "SYSTEM_ERROR"
    assert any("no.such.host/image:1" in line for line in done["logs"][0]["system_logs"])


def test_links_that_an_executor_leaves_lead_no_stream_to_files_of_this_machine(tes: Wes, tmp_path: Path):
    secret, target = tmp_path / "secret", tmp_path / "target"
    secret.write_text("secret")
    target.write_text("untouched")
    plant = f"ln -s {secret} /v/in; ln -s {target} /v/out; rm -rf /v/dir; ln -s {tmp_path} /v/dir"
    for stream in ({"stdin": "/v/in"}, {"stdout": "/v/out"}, {"stdout": "/v/dir/target"}, {"stdin": "/v/dir/secret"}):
        task = shell_task(plant, "cat", volumes=["/v"])
        task["executors"][1] |= stream
        done = run(tes, task)
        assert done["state"] == "SYSTEM_ERROR", stream
        assert "secret" not in str([one.get("stdout") for one in done["logs"][0]["logs"]])
    assert target.read_text() == "untouched"


def test_a_task_is_cancelled_and_stays_so(tes: Wes):
    task = create(tes, shell_task("sleep 300"))
    until(lambda: get(tes, task, "MINIMAL")["state"] == "RUNNING")
    assert tes.http.post(f"{TES}/tasks/{task}:cancel").json() == {}
    until(lambda: get(tes, task, "MINIMAL")["state"] == "CANCELED")
    assert tes.http.post(f"{TES}/tasks/{task}:cancel").status_code == 200
    assert get(tes, task, "MINIMAL") == {"id": task, "state": "CANCELED"}
