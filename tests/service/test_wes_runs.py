"""GA4GH WES 1.1 as a client sees it: from the request to the outputs."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from documents import expression, glob, on_command_line, shell, step, workflow
from waiting import until
from wes import IMAGE, PREFIX, Wes, serving

TWICE = expression("${ return {twice: 2 * inputs.number}; }", {"number": "int"}, {"twice": "int"})
CAT = shell(
    'echo hello >&2; cat "$0"',
    inputs={"file": on_command_line("File")},
    outputs={"copy": "stdout"},
    stdout="copy.txt",
    requirements=IMAGE,
)
WAITING = shell(
    'until [ -e "$0/gate" ]; do sleep 0.1; done', inputs={"at": on_command_line("Directory")}, requirements=IMAGE
)
SAY = shell('echo "$0"', inputs={"word": on_command_line("string")}, requirements=IMAGE)
TEXT = {"class": "File", "location": "in/text.txt"}


def test_service_info_has_all_that_the_specification_demands(wes: Wes):
    info = wes.get("/service-info").json()
    assert info["type"] == {"group": "org.ga4gh", "artifact": "wes", "version": "1.1.0"}
    assert info["workflow_type_versions"] == {"CWL": {"workflow_type_version": ["v1.0", "v1.1", "v1.2"]}}
    assert "1.1.0" in info["supported_wes_versions"]
    assert isinstance(info["default_workflow_engine_parameters"], list)
    assert {"name", "type", "default_value"} == set(info["default_workflow_engine_parameters"][0])
    assert info.keys() >= {"id", "name", "organization", "version", "auth_instructions_url", "tags"}
    assert "file" in info["supported_filesystem_protocols"]


def test_a_document_without_jobs_gives_its_outputs(wes: Wes):
    log = wes.run(TWICE, {"number": 21}, tags=json.dumps({"project": "x"}))
    assert log["state"] == "COMPLETE"
    assert log["outputs"] == {"twice": 42}
    assert log["run_log"]["exit_code"] == 0
    assert log["request"]["workflow_params"] == {"number": 21}
    assert log["request"]["tags"] == {"project": "x"}
    assert log["task_logs"] is None


@pytest.mark.docker
def test_outputs_and_logs_are_urls_that_answer_ranges(wes: Wes):
    log = wes.run(CAT, {"file": TEXT}, files={"in/text.txt": b"0123456789"})
    assert log["state"] == "COMPLETE", log
    copy = log["outputs"]["copy"]
    assert copy["basename"] == "copy.txt"
    assert copy["location"].startswith(f"http://127.0.0.1{PREFIX}/runs/{log['run_id']}/outputs/")
    assert Path(copy["path"]).read_bytes() == b"0123456789"  # the client is on this machine
    assert wes.http.get(copy["location"]).content == b"0123456789"
    part = wes.http.get(copy["location"], headers={"Range": "bytes=3-4"})
    assert (part.status_code, part.content) == (206, b"34")
    (task,) = wes.http.get(log["task_logs_url"]).json()["task_logs"]
    assert task["exit_code"] == 0
    assert task["cmd"][:2] == ["sh", "-c"]
    assert wes.http.get(task["stderr"]).text == "hello\n"
    assert wes.http.get(task["stderr"], headers={"Range": "bytes=1-2"}).content == b"el"
    assert wes.http.get(f"{log['task_logs_url']}/{task['id']}").json() == task
    assert json.loads(wes.http.get(log["run_log"]["stdout"]).text) == log["outputs"]


@pytest.mark.docker
def test_a_tool_that_fails_is_an_executor_error_with_its_exit_code_and_the_reason(wes: Wes):
    log = wes.run(shell("echo broken >&2; exit 3", requirements=IMAGE))
    assert log["state"] == "EXECUTOR_ERROR"
    assert log["run_log"]["exit_code"] == 1
    assert log["outputs"] == {}
    assert any("main.cwl failed" in line for line in log["run_log"]["system_logs"])
    (task,) = wes.http.get(log["task_logs_url"]).json()["task_logs"]
    assert task["exit_code"] == 3
    assert "main.cwl failed" in wes.http.get(log["run_log"]["stderr"]).text


def test_a_document_that_is_not_valid_is_an_executor_error_that_reports_why(wes: Wes):
    log = wes.run({**TWICE, "inputs": {"number": "no such type"}}, {"number": 1})
    assert log["state"] == "EXECUTOR_ERROR"
    assert "not valid" in log["run_log"]["system_logs"][0]


@pytest.mark.docker
def test_a_run_is_cancelled_and_its_state_is_final(wes: Wes, data: Path):
    run = wes.submit(WAITING, {"at": {"class": "Directory", "location": data.as_uri()}})
    until(lambda: wes.get(f"/runs/{run}/tasks").json()["task_logs"])
    assert wes.http.post(f"{PREFIX}/runs/{run}/cancel").json() == {"run_id": run}
    assert wes.ended(run)["state"] == "CANCELED"
    assert wes.http.post(f"{PREFIX}/runs/{run}/cancel").status_code == 200
    assert wes.state(run) == "CANCELED"


def test_an_expression_without_an_end_is_stopped_and_holds_up_no_request(wes: Wes):
    endless = expression("${ while (true) {} }", {}, {})
    run = wes.submit(endless, workflow_engine_parameters='{"--eval-timeout": "2"}')
    until(lambda: wes.state(run) == "RUNNING")  # while the expression is evaluated
    log = wes.ended(run)
    assert log["state"] == "EXECUTOR_ERROR"
    assert any("stopped after 2 s" in line for line in log["run_log"]["system_logs"])


@pytest.mark.docker
def test_runs_that_cannot_begin_wait_with_a_reason_and_are_cancelled_at_once(tmp_path: Path):
    with serving(tmp_path, max_active=1, file_roots=[str(tmp_path)]) as wes:
        first = wes.submit(WAITING, {"at": {"class": "Directory", "location": tmp_path.as_uri()}})
        until(lambda: wes.get(f"/runs/{first}/tasks").json()["task_logs"])
        second = wes.submit(TWICE, {"number": 1})
        reason = ["1 run is active, the most that this service works on"]
        until(lambda: wes.get(f"/runs/{second}").json()["run_log"]["system_logs"] == reason)
        assert wes.state(second) == "QUEUED"
        wes.http.post(f"{PREFIX}/runs/{second}/cancel")
        assert wes.state(second) == "CANCELED"
        wes.http.post(f"{PREFIX}/runs/{first}/cancel")


def test_the_list_is_paged_in_a_stable_order(wes: Wes):
    runs = [wes.submit(TWICE, {"number": n}) for n in range(3)]
    found, token = [], ""
    while True:
        page = wes.get("/runs", params={"page_size": 2, "page_token": token}).json()
        assert len(page["runs"]) <= 2
        found += page["runs"]
        token = page["next_page_token"]
        if not token:
            break
        wes.submit(TWICE, {"number": 0})  # what comes meanwhile shifts nothing
    ids = [run["run_id"] for run in found]
    assert len(ids) == len(set(ids))
    assert [one for one in ids if one in runs] == runs[::-1]
    assert all("tags" in run for run in found)


def test_tasks_are_paged(wes: Wes):
    many = workflow(
        {"numbers": "int[]"},
        {"twice": {"type": "int[]", "outputSource": "double/twice"}},
        double=step(TWICE, "twice", scatter="number", number="numbers"),
    )
    log = wes.run(many, {"numbers": [1, 2, 3]})
    assert log["outputs"] == {"twice": [2, 4, 6]}
    assert wes.http.get(log["task_logs_url"], params={"page_size": 1}).json() == {
        "task_logs": [],
        "next_page_token": "",
    }


@pytest.mark.docker
def test_pages_of_tasks_have_each_task_once_and_tokens_of_one_run_only(wes: Wes):
    words = workflow({"words": "string[]"}, {}, say=step(SAY, scatter="word", word="words"))
    log = wes.run(words, {"words": ["a", "b", "c"]})
    assert log["state"] == "COMPLETE", log
    found: list[dict[str, Any]] = []
    token = ""
    while True:
        page = wes.http.get(log["task_logs_url"], params={"page_size": 2, "page_token": token}).json()
        found += page["task_logs"]
        assert len(page["task_logs"]) <= 2
        if not (token := page["next_page_token"]):
            break
        other = wes.get("/runs", params={"page_token": token})
        assert other.status_code == 400
    assert sorted(task["cmd"][-1] for task in found) == ["a", "b", "c"]
    for task in found:
        assert wes.http.get(f"{log['task_logs_url']}/{task['id']}").json() == task
        assert wes.http.get(task["stdout"]).text == task["cmd"][-1] + "\n"


@pytest.mark.parametrize(
    "query",
    [{"page_size": "0"}, {"page_size": "-1"}, {"page_size": "many"}, {"page_token": "?"}, {"page_token": "cnVuczp4"}],
)
def test_a_page_that_cannot_be_is_malformed(wes: Wes, query: dict[str, str]):
    answer = wes.get("/runs", params=query)
    assert answer.status_code == 400
    assert answer.json()["status_code"] == 400
    assert next(iter(query)) in answer.json()["msg"]


@pytest.mark.parametrize(
    "path",
    [
        "/runs/none",
        "/runs/none/status",
        "/runs/none/tasks",
        "/runs/none/tasks/1",
        "/runs/none/stderr",
        "/runs/none/outputs/x",
        "/none",
    ],
)
def test_what_is_not_there_is_404_in_the_form_of_the_specification(wes: Wes, path: str):
    answer = wes.get(path)
    assert answer.status_code == 404
    assert answer.json().keys() == {"msg", "status_code"}


@pytest.mark.parametrize(
    "path", ["../params.json", "..%2fparams.json", "%2e%2e/params.json", "/etc/hostname", "a/../../params.json"]
)
def test_outputs_lead_nowhere_else(wes: Wes, path: str):
    run = wes.run(TWICE, {"number": 1})["run_id"]
    assert wes.get(f"/runs/{run}/outputs/{path}").status_code == 404


@pytest.mark.parametrize(
    ("fields", "named"),
    [
        ({"workflow_type": None}, "workflow_type"),
        ({"workflow_type": "WDL"}, "'WDL'"),
        ({"workflow_type_version": "v0.9"}, "'v0.9'"),
        ({"workflow_url": None}, "workflow_url"),
        ({"workflow_url": "other.cwl"}, "not among the attachments"),
        ({"workflow_url": "../main.cwl"}, "leads out"),
        ({"workflow_url": "https://example.org/main.cwl"}, "not below a URL"),
        ({"workflow_url": "file:///nowhere/main.cwl"}, "not below a folder"),
        ({"workflow_url": "ftp://example.org/main.cwl"}, "neither"),
        ({"workflow_engine": "toil"}, "'toil'"),
        ({"workflow_engine_version": "1"}, "without workflow_engine"),
        ({"workflow_engine": "gridcwl", "workflow_engine_version": "0"}, "'0'"),
        ({"workflow_params": "["}, "workflow_params"),
        ({"workflow_params": "[]"}, "workflow_params"),
        ({"workflow_params": '{"a": NaN}'}, "NaN"),
        ({"workflow_params": "[" * 100_000}, "workflow_params"),
        ({"workflow_params": '{"a": 1' + "0" * 5000 + "}"}, "too many digits"),
        ({"workflow_params": '{"a": "\\ud800"}'}, "half a surrogate pair"),
        ({"workflow_url": "tools"}, "a folder of the attachments"),
        ({"workflow_engine_parameters": '{"--target": ["a"]}'}, "takes a text"),
        ({"tags": '{"a": 1}'}, "'a'"),
        ({"workflow_engine_parameters": '{"--no-container": null}'}, "--no-container"),
        ({"workflow_engine_parameters": '{"--preserve-entire-environment": "true"}'}, "may not set"),
        ({"workflow_engine_parameters": '{"--retries": "1000"}'}, "from 0 to 10"),
    ],
)
def test_a_malformed_request_is_refused_with_what_is_wrong(wes: Wes, fields: dict[str, Any], named: str):
    answer = wes.post(TWICE, {"number": 1}, files={"tools/twice.cwl": TWICE}, **fields)
    assert answer.status_code == 400
    assert named in answer.json()["msg"]


@pytest.mark.parametrize(
    "place",
    [
        "file:///etc/hostname", "/etc/hostname", "file://localhost/etc/hostname",
        "FILE:///etc/hostname", "file:/etc/hostname",
        "file:///{data}/../secret", "file:///{data}/%2e%2e/secret", "../secret", "in/../../secret", "%2e%2e/secret",
        "file:///{data}/link", "http://169.254.169.254/", "https://example.org/x",
        "missing.txt", "gopher://x/y", "", "a\0b",
    ],
)  # fmt: skip
@pytest.mark.parametrize("key", ["location", "path"])
def test_an_input_that_is_neither_attached_nor_allowed_is_refused(wes: Wes, data: Path, place: str, key: str):
    (data.parent / "secret").write_text("s")
    link = data / "link"
    if not link.is_symlink():
        link.symlink_to(data.parent / "secret")
    entry = {"class": "File", key: place.replace("/{data}", str(data))}
    answer = wes.post(CAT, {"file": entry})
    assert answer.status_code == 400, place
    nested = {"class": "Directory", "listing": [{"class": "Directory", "basename": "d", "listing": [entry]}]}
    assert wes.post(CAT, {"file": {**TEXT, "secondaryFiles": [nested]}}, files={"in/text.txt": b"x"}).status_code == 400


@pytest.mark.docker
def test_a_file_below_an_allowed_folder_is_read(wes: Wes, data: Path):
    (data / "in.txt").write_text("shared")
    log = wes.run(CAT, {"file": {"class": "File", "location": (data / "in.txt").as_uri()}})
    assert wes.http.get(log["outputs"]["copy"]["location"]).text == "shared"


@pytest.mark.parametrize("name", ["../x", "/tmp/x", "a/../../x", "..", "a//b", "a\0b", "x" * 300])
def test_an_attachment_with_a_hostile_name_is_refused(wes: Wes, name: str):
    parts = [("workflow_attachment", (name, b"x"))]
    fields = {"workflow_type": "CWL", "workflow_type_version": "v1.2", "workflow_url": "x"}
    answer = wes.http.post(f"{PREFIX}/runs", data=fields, files=parts)
    assert answer.status_code == 400, name


def test_an_attachment_may_have_the_name_of_a_list(wes: Wes):
    fields = {"workflow_type": "CWL", "workflow_type_version": "v1.2", "workflow_url": "main.cwl"}
    parts = [("workflow_attachment[]", ("main.cwl", json.dumps(TWICE).encode()))]
    answer = wes.http.post(f"{PREFIX}/runs", data=fields | {"workflow_params": '{"number": 4}'}, files=parts)
    assert wes.ended(answer.json()["run_id"])["outputs"] == {"twice": 8}


@pytest.mark.parametrize(
    ("url", "document"), [(".", TWICE), ("../flow.cwl#twice", {"$graph": [{**TWICE, "id": "#twice"}]})]
)
def test_toil_calls_a_single_attachment_by_a_dot(wes: Wes, url: str, document: dict[str, Any]):
    packed = {"cwlVersion": "v1.2", **document}
    log = wes.run(None, {"number": 2}, files={".": packed}, workflow_url=url)
    assert log["outputs"] == {"twice": 4}, log
    assert wes.post(None, {"number": 2}, files={"x": TWICE}, workflow_url=url).status_code == 400


def test_uploads_are_limited_in_size_and_number(wes: Wes):
    large = wes.post(TWICE, files={"large": b"x" * (5 << 20)})
    assert large.status_code == 413
    assert "4 MiB" in large.json()["msg"]
    assert wes.post(TWICE, files={f"{n}": b"" for n in range(21)}).status_code == 400


def test_a_client_decides_neither_where_outputs_are_nor_how_tools_run(wes: Wes, tmp_path: Path):
    parameters = {"--outdir": str(tmp_path / "mine"), "--quiet": None, "--retries": "1"}
    log = wes.run(TWICE, {"number": 1}, workflow_type="cwl", workflow_engine_parameters=json.dumps(parameters))
    assert log["state"] == "COMPLETE"
    assert not (tmp_path / "mine").exists()
    assert log["request"]["workflow_engine_parameters"] == {
        "--outdir": str(tmp_path / "mine"),
        "--quiet": "",
        "--retries": "1",
    }


def test_documents_refer_to_each_other_in_subfolders_and_by_fragment(wes: Wes):
    outer = workflow(
        {"number": "int"},
        {"twice": {"type": "int", "outputSource": "double/twice"}},
        double=step("../tools/twice.cwl", "twice", number="number"),
    )
    files = {"flows/outer.cwl": outer, "tools/twice.cwl": TWICE}
    assert wes.run(None, {"number": 2}, files=files, workflow_url="flows/outer.cwl")["outputs"] == {"twice": 4}
    packed = {"cwlVersion": "v1.2", "$graph": [{**outer, "id": "#main"}, {**TWICE, "id": "#twice"}]}
    packed["$graph"][0]["steps"]["double"]["run"] = "#twice"
    for url in ("main.cwl", "main.cwl#main"):
        assert wes.run(packed, {"number": 2}, workflow_url=url)["outputs"] == {"twice": 4}
    assert wes.run(packed, {"number": 3}, workflow_url="main.cwl#twice")["outputs"] == {"twice": 6}


def test_a_web_page_of_another_site_cannot_use_an_open_service(wes: Wes):
    assert wes.post(TWICE, {"number": 1}, headers={"Origin": "https://evil.example"}).status_code == 403
    assert wes.get("/runs", headers={"Host": "evil.example"}).status_code == 403
    assert wes.get("/runs", headers={"Origin": "http://127.0.0.1"}).status_code == 200


def test_health_and_metrics_answer(wes: Wes):
    assert wes.http.get("/healthz").status_code == 200
    assert wes.http.get("/readyz").text == "ready\n"
    assert 'gridcwl_runs{state="COMPLETE"}' in wes.http.get("/metrics").text


@pytest.mark.docker
def test_a_folder_of_outputs_has_links_to_all_that_is_in_it(wes: Wes):
    made = shell("mkdir -p d/e; echo x > 'd/e/a b#.txt'", outputs={"all": glob("d", "Directory")}, requirements=IMAGE)
    listing = wes.run(made)["outputs"]["all"]["listing"][0]["listing"]
    assert wes.http.get(listing[0]["location"]).text == "x\n"
