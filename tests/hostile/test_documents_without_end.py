"""Documents may name files that have no end, and servers may send bodies that have none: each is read within limits."""

from __future__ import annotations

import gzip
import os
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
from commandline import gridcwl
from documents import Desk, step, tool, workflow

from gridcwl.cwl.anonymous import AnonymousSession, BodyTooLarge
from gridcwl.model import limits


@pytest.fixture
def desk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Desk:
    monkeypatch.chdir(tmp_path)
    os.mkfifo("pipe")
    Path("folder").mkdir()
    with Path("huge").open("wb") as huge:
        huge.truncate(1 << 40)
    return Desk(tmp_path)


@pytest.mark.parametrize("name", ["/dev/zero", "pipe", "huge", "folder", "/proc/self/environ"])
@pytest.mark.parametrize("field", ["$include", "$import", "run", "$schemas", "document", "input object", "overrides"])
def test_what_is_no_text_of_a_bounded_size_is_not_read(desk: Desk, field: str, name: str) -> None:
    arguments = ["--validate", "d.cwl"]
    document = tool("true")
    if field in ("$include", "$import"):
        document = tool("true", hints=[{field: name}]) if field == "$import" else tool("true", doc={field: name})
    elif field == "run":
        document = workflow({}, {}, s=step(name))
    elif field == "$schemas":
        document = {**document, "$schemas": [name]}
    elif field == "document":
        arguments = ["--validate", name]
    elif field == "input object":
        arguments.append(name)
    else:
        arguments = ["--overrides", name, *arguments]
    desk.write("d.cwl", document)
    result = gridcwl(*arguments)
    assert "internal error" not in result.stderr
    assert "Traceback" not in result.stderr
    if field != "$schemas" and not (field == "$include" and name.startswith("/proc")):
        assert result.code != 0
        assert result.stderr


def test_a_file_that_became_a_pipe_is_not_waited_for_when_a_known_document_runs_again(desk: Desk) -> None:
    desk.write("words.txt", "words")
    desk.write("d.cwl", tool("true", doc={"$include": "words.txt"}))
    assert gridcwl("--validate", "d.cwl").code == 0
    Path("words.txt").unlink()
    os.mkfifo("words.txt")
    result = gridcwl("--validate", "d.cwl")
    assert result.code == 1
    assert "not a file" in result.stderr


class _Hostile(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        self.send_response(302 if self.path == "/moved" else 200)
        if self.path == "/moved":
            self.send_header("Location", "/small")
        if self.path == "/bomb":
            self.send_header("Content-Encoding", "gzip")
        self.end_headers()
        chunk = {"/small": b"small", "/bomb": gzip.compress(bytes(4 << 20))}.get(self.path, bytes(1 << 16))
        try:
            for _ in range(1 if self.path in ("/small", "/bomb") else 1 << 20):
                self.wfile.write(chunk)
        except OSError:
            self.server.refused.append(self.path)  # type: ignore[attr-defined]

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture
def server() -> Iterator[str]:
    with ThreadingHTTPServer(("127.0.0.1", 0), _Hostile) as made:
        made.refused = []  # type: ignore[attr-defined]
        threading.Thread(target=made.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{made.server_port}"
        made.shutdown()


@pytest.mark.parametrize("path", ["/endless", "/bomb"])
def test_a_body_without_end_is_not_read_to_its_end(
    server: str, monkeypatch: pytest.MonkeyPatch, desk: Desk, path: str
) -> None:
    monkeypatch.setattr(limits, "TEXT_BYTES", 1 << 20)
    with pytest.raises(BodyTooLarge, match="it is larger than 1 MiB"):
        AnonymousSession().get(server + path)
    desk.write("d.cwl", workflow({}, {}, s=step(server + path)))
    result = gridcwl("--no-doc-cache", "--validate", "d.cwl")
    assert result.code == 1
    assert "internal error" not in result.stderr


def test_the_body_of_a_redirection_is_not_read(server: str) -> None:
    assert AnonymousSession().get(f"{server}/moved").text == "small"
