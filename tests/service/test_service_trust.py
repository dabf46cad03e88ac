"""Documents of people who are not trusted: what they name on the service's machine or on the web is not read."""

from __future__ import annotations

import contextlib
import json
import os
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
from documents import expression, on_command_line, shell, step, workflow
from waiting import until
from wes import IMAGE, Wes, serving

from gridcwl.errors import DocumentError
from gridcwl.service.endings import without_places
from gridcwl.service.registries import located, prefixes

SECRET = "the operator's own"


class Web(ThreadingHTTPServer):
    """A web server that notes what it is asked for; ``/allowed/to/PATH`` redirects to ``/PATH``."""

    seen: list[str]


class Handler(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        assert isinstance(self.server, Web)
        self.server.seen.append(self.path)
        if self.path.startswith("/allowed/to/"):
            self.send_response(302)
            self.send_header("Location", self.path.removeprefix("/allowed/to"))
            self.end_headers()
            return
        if self.path.endswith("/CWL/files"):
            self.answer(json.dumps([{"path": "/flows/main.cwl", "file_type": "PRIMARY_DESCRIPTOR"}]).encode())
            return
        body = (
            b'{"cwlVersion": "v1.2", "class": "ExpressionTool", "requirements": {"InlineJavascriptRequirement": {}}, '
        )
        body += b'"inputs": {}, "outputs": {"said": "string"}, "expression": "${ return {said: \'from the web\'}; }"}'
        self.answer(body)

    def answer(self, body: bytes) -> None:
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    do_HEAD = do_GET  # noqa: N815

    def log_message(self, *_: Any) -> None:
        pass


@pytest.fixture(scope="module")
def web() -> Iterator[Web]:
    server = Web(("127.0.0.1", 0), Handler)
    server.seen = []
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield server
    server.shutdown()


@pytest.fixture(scope="module")
def secret(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("operator") / "secret.txt"
    path.write_text(f"- {SECRET}\n")
    return path


@pytest.fixture(scope="module")
def wes(tmp_path_factory: pytest.TempPathFactory, web: Web) -> Iterator[Wes]:
    allowed = [f"http://127.0.0.1:{web.server_port}/{path}/" for path in ("allowed", "ga4gh")]
    with serving(tmp_path_factory.mktemp("service"), allowed_urls=allowed) as client:
        yield client


def reader(**fields: Any) -> dict[str, Any]:
    """A tool that gives the contents of a file."""
    entry = {"type": "File", "loadContents": True, **fields}
    return expression("${ return {said: inputs.file.contents}; }", {"file": entry}, {"said": "string"})


def hostile(secret: str) -> dict[str, dict[str, Any]]:
    file = {"class": "File", "location": secret}
    plain = expression("${ return {said: 'x'}; }", {}, {"said": "string"})
    said = {"said": {"type": "string", "outputSource": "read/said"}}
    js = {"InlineJavascriptRequirement": {}}
    made = f"{{'class': 'File', 'location': '{secret}', 'basename': 'secret.txt'}}"
    return {
        "default": reader(default=file),
        "default by path": reader(default={"class": "File", "path": secret.removeprefix("file://")}),
        "default of a step": workflow({}, said, read=step(reader(), "said", file={"default": file})),
        "secondary file of a default": reader(
            default={"class": "File", "basename": "x", "contents": "x", "secondaryFiles": [file]}
        ),
        "directory": reader(default={"class": "Directory", "location": secret.rpartition("/")[0]}),
        "run": workflow({}, said, read=step(secret, "said")),
        "import": {**plain, "doc": {"$import": secret}},
        "include": {**plain, "doc": {"$include": secret}},
        "include in an expressionLib": {
            **plain, "requirements": {"InlineJavascriptRequirement": {"expressionLib": [{"$include": secret}]}}
        },
        "schemas": {**plain, "$schemas": [secret], "doc": {"$include": secret}},
        "valueFrom": workflow(
            {}, said, read=step(reader(), "said", file={"valueFrom": f"$({{'class': 'File', 'location': '{secret}'}})"})
        ),
        "output of an expression": expression(
            f"${{ return {{said: {{'class': 'File', 'location': '{secret}'}}}}; }}", {}, {"said": "File"}
        ),
        "listing": shell(
            "cat secret.txt", outputs={"said": "stdout"}, stdout="said.txt",
            requirements={**IMAGE, "InitialWorkDirRequirement": {"listing": [file]}},
        ),
        "listing by an expression": shell(
            "cat secret.txt", outputs={"said": "stdout"}, stdout="said.txt",
            requirements={**IMAGE, **js, "InitialWorkDirRequirement": {"listing": f"${{return [{made}];}}"}},
        ),
        "secondary files by an expression": shell(
            "cat",
            inputs={"file": {**on_command_line("File"), "default": {"class": "File", "basename": "a", "contents": "b"},
                             "secondaryFiles": [f"${{return {made};}}"]}},
            outputs={"said": "stdout"}, stdout="said.txt", requirements={**IMAGE, **js},
        ),
        "image from a file": shell(
            "true", requirements={"DockerRequirement": {"dockerLoad": secret, "dockerImageId": "x:y"}}
        ),
    }  # fmt: skip


@pytest.mark.node
@pytest.mark.parametrize("how", hostile("file:///x/y"))
def test_a_file_of_the_services_machine_is_not_read(wes: Wes, secret: Path, how: str):
    log = wes.run(hostile(secret.as_uri())[how])
    assert log["state"] == "EXECUTOR_ERROR", log
    assert SECRET not in str(log)
    reasons = ("not below a folder", "not one of its inputs", "built or loaded", "is not valid")
    assert any(reason in str(log["run_log"]["system_logs"]) for reason in reasons), log
    assert wes.settings is not None
    assert str(wes.settings.folder) not in str(log["run_log"]["system_logs"])
    assert SECRET not in wes.http.get(log["run_log"]["stderr"]).text


@pytest.mark.node
@pytest.mark.parametrize(
    "how", [how for how in hostile("") if "image" not in how and "path" not in how and how != "directory"]
)
def test_a_url_that_is_not_allowed_is_not_fetched(wes: Wes, web: Web, how: str):
    web.seen.clear()
    base = f"http://127.0.0.1:{web.server_port}"
    for url in (
        f"{base}/forbidden/secret.txt",
        f"{base}/allowed/to/forbidden/secret.txt",
        f"{base}/allowed/../forbidden/secret.txt",
    ):
        log = wes.run(hostile(url)[how])
        assert log["state"] == "EXECUTOR_ERROR", log
    assert not [path for path in web.seen if path.startswith("/forbidden")], web.seen


@pytest.mark.node
def test_a_document_of_an_allowed_url_runs(wes: Wes, web: Web):
    url = f"http://127.0.0.1:{web.server_port}/allowed/tool.cwl"
    assert wes.run(None, workflow_url=url)["outputs"] == {"said": "from the web"}


@pytest.mark.node
def test_a_document_of_an_allowed_registry_runs(wes: Wes, web: Web):
    host = f"http://127.0.0.1:{web.server_port}"
    version = "/ga4gh/trs/v2/tools/%23workflow%2Fexample/versions/1.0"
    assert wes.run(None, workflow_url=f"{host}{version}")["outputs"] == {"said": "from the web"}
    assert f"{version}/PLAIN_CWL/descriptor/flows/main.cwl" in web.seen
    for url in (f"trs://127.0.0.1:{web.server_port}/example/1.0", "trs://elsewhere.example/example/1.0"):
        assert "not below a URL" in wes.post(None, workflow_url=url).json()["msg"]


def test_a_registry_is_allowed_by_its_host():
    assert located("main.cwl#main") == "main.cwl#main"
    allowed = prefixes(("trs://dockstore.example/", "https://x/y/"))
    assert allowed[2:] == ("https://dockstore.example/ga4gh/trs/v2/tools/",)
    with pytest.raises(DocumentError, match="names no version"):
        located("trs://dockstore.example/example")


@pytest.mark.parametrize(
    ("document", "named"),
    [
        (shell("true"), "names no container image"),
        (
            shell("true", requirements={"DockerRequirement": {"dockerFile": "FROM x", "dockerImageId": "x"}}),
            "built or loaded",
        ),
        (shell("true", requirements={**IMAGE, "NetworkAccess": {"networkAccess": True}}), "uses the network"),
        (
            shell(
                "true",
                inputs={"file": {"type": "File", "default": {"class": "File", "basename": "a", "contents": "b"}}},
                requirements={
                    **IMAGE,
                    "InplaceUpdateRequirement": {"inplaceUpdate": True},
                    "InitialWorkDirRequirement": {"listing": [{"entry": "$(inputs.file)", "writable": True}]},
                },
            ),
            "in place",
        ),
    ],
)
def test_a_tool_that_asks_for_what_it_may_not_have_is_refused(wes: Wes, document: dict[str, Any], named: str):
    log = wes.run(document)
    assert log["state"] == "EXECUTOR_ERROR"
    assert log["run_log"]["exit_code"] in (1, 33)
    assert named in str(log["run_log"]["system_logs"]), log


def test_a_message_has_attachments_under_the_names_that_their_client_gave_them(tmp_path: Path):
    here = os.path.relpath(tmp_path)
    up = "../" * (len(Path.cwd().parts) - 1) + str(tmp_path)[1:]
    for place in (str(tmp_path), here, up):
        assert without_places(f"{place}/flows/main.cwl:6:5: no", tmp_path) == "flows/main.cwl:6:5: no"


@pytest.mark.node
@pytest.mark.skipif(os.geteuid() != 0, reason="only root starts processes as another user")
def test_expressions_are_evaluated_by_a_process_of_nobody(wes: Wes):
    def users() -> set[int]:
        """Whose processes of node below this one are busy: the one that earlier runs left here only waits."""
        found = set()
        for process in Path("/proc").glob("[0-9]*"):
            with contextlib.suppress(OSError, IndexError):
                state, parent = (process / "stat").read_bytes().rpartition(b")")[2].split()[:2]
                is_node = b"--disallow-code-generation" in (process / "cmdline").read_bytes()
                if is_node and state == b"R" and int(parent) == os.getpid():
                    found.add(process.stat().st_uid)
        return found

    run = wes.submit(expression("${ while (true) {} }", {}, {}), workflow_engine_parameters='{"--eval-timeout": "5"}')
    until(lambda: users() == {65534})
    wes.ended(run)
