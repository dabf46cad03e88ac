"""Inputs named by http URLs, from a real server on this machine."""

from __future__ import annotations

import hashlib
import threading
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
from commandline import CommandResult, gridcwl
from documents import Desk, on_command_line, tool

CAT = tool("cat", inputs={"f": on_command_line("File")}, outputs={"said": "stdout"}, stdout="said.txt")


@dataclass
class Site:
    """A web server with these files; counts what was asked for and what was sent."""

    files: dict[str, bytes] = field(default_factory=dict)
    asked: Counter[str] = field(default_factory=Counter)
    sent: Counter[str] = field(default_factory=Counter)
    url: str = ""


@pytest.fixture
def site() -> Iterator[Site]:
    made = Site()

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            made.asked[self.path] += 1
            content = made.files.get(self.path)
            if content is None:
                self.send_error(404)
                return
            tag = f'"{hashlib.sha256(content).hexdigest()[:12]}"'
            if self.headers.get("If-None-Match") == tag:
                self.send_response(304)
                self.end_headers()
                return
            made.sent[self.path] += 1
            self.send_response(200)
            self.send_header("ETag", tag)
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            self.wfile.write(content)

        def log_message(self, *_words: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    made.url = f"http://127.0.0.1:{server.server_port}"
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield made
    server.shutdown()
    server.server_close()
    thread.join()


@pytest.fixture
def desk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Desk:
    for name in ("state", "cache"):
        monkeypatch.setenv(f"GRIDCWL_{name.upper()}_DIR", str(tmp_path / name))
    monkeypatch.chdir(tmp_path)
    made = Desk(tmp_path)
    made.write("cat.cwl", CAT)
    return made


def run(desk: Desk, url: str) -> CommandResult:
    desk.write("in.json", {"f": {"class": "File", "location": url}})
    return gridcwl("--no-container", "--outdir", str(desk.outdir), "cat.cwl", "in.json")


def test_a_file_is_downloaded_once_and_asked_for_every_time(desk: Desk, site: Site) -> None:
    site.files["/data/run%20%231.txt"] = b"an event\n"
    for _ in range(2):
        result = run(desk, f"{site.url}/data/run%20%231.txt")
        assert result.code == 0, result.stderr
        assert (desk.outdir / "said.txt").read_bytes() == b"an event\n"
    assert (site.asked.total(), site.sent.total()) == (2, 1)


def test_a_file_that_changed_is_downloaded_again(desk: Desk, site: Site) -> None:
    for content in (b"first\n", b"second\n"):
        site.files["/a.txt"] = content
        assert run(desk, f"{site.url}/a.txt").code == 0
        assert (desk.outdir / "said.txt").read_bytes() == content


def test_a_missing_file_is_reported_before_anything_runs(desk: Desk, site: Site) -> None:
    result = run(desk, f"{site.url}/none.txt")
    assert result.code == 1
    assert f"The File {site.url}/none.txt cannot be downloaded: the server answered 404 Not Found" in result.stderr
    assert not list((desk.folder / "state").glob("runs/*"))


def test_a_server_that_is_not_there_is_reported_without_passwords(desk: Desk) -> None:
    gone = "http://127.0.0.1:9"  # discard: nobody listens there
    result = run(desk, f"http://name:password@{gone[7:]}/a.txt?token=secret")
    assert result.code == 1
    assert f"The File {gone}/a.txt cannot be downloaded: Connection refused" in result.stderr
    assert "password" not in result.stderr
    assert "secret" not in result.stderr


def test_a_directory_on_the_web_is_refused(desk: Desk, site: Site) -> None:
    desk.write("ls.cwl", tool("ls", inputs={"d": on_command_line("Directory")}))
    desk.write("in.json", {"d": {"class": "Directory", "location": f"{site.url}/d"}})
    result = gridcwl("--no-container", "ls.cwl", "in.json")
    assert result.code == 1
    assert "the web has no directories" in result.stderr
