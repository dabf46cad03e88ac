"""Small CWL documents, and a folder to write them into."""

from __future__ import annotations

import contextlib
import functools
import json
import textwrap
import threading
from collections.abc import Iterator
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import pytest

Document = dict[str, Any]


def tool(*command: str, inputs: Any = None, outputs: Any = None, **fields: Any) -> Document:
    """A CommandLineTool."""
    return {
        "cwlVersion": "v1.2",
        "class": "CommandLineTool",
        "baseCommand": list(command),
        "inputs": inputs or {},
        "outputs": outputs or {},
        **fields,
    }


def shell(script: str, **fields: Any) -> Document:
    """A CommandLineTool that is a line of shell."""
    return tool("sh", "-c", script, **fields)


def expression(text: str, inputs: Any, outputs: Any, **fields: Any) -> Document:
    """An ExpressionTool."""
    return {
        "cwlVersion": "v1.2",
        "class": "ExpressionTool",
        "requirements": {"InlineJavascriptRequirement": {}},
        "inputs": inputs,
        "outputs": outputs,
        "expression": text,
        **fields,
    }


def workflow(inputs: Any, outputs: Any, **steps: Any) -> Document:
    """A Workflow, with all that it may need declared."""
    needed = (
        "ScatterFeatureRequirement",
        "SubworkflowFeatureRequirement",
        "MultipleInputFeatureRequirement",
        "StepInputExpressionRequirement",
        "InlineJavascriptRequirement",
    )
    return {
        "cwlVersion": "v1.2",
        "class": "Workflow",
        "requirements": {name: {} for name in needed},
        "inputs": inputs,
        "outputs": outputs,
        "steps": steps,
    }


def two_steps(script: str, first: str = "first", second: str = "second", made: str = "made") -> Document:
    """A Workflow: a line of shell writes the file ``made``, and ``cat`` says it."""
    read = tool("cat", inputs={made: on_command_line("File")}, outputs={"said": "stdout"}, stdout="said.txt")
    written = shell(script, outputs={made: glob(made)})
    steps = {first: step(written, made), second: step(read, "said", **{made: f"{first}/{made}"})}
    return workflow({}, {"said": {"type": "File", "outputSource": f"{second}/said"}}, **steps)


def step(run: Any, out: str = "", *, scatter: Any = None, when: str | None = None, **links: Any) -> Document:
    """A step; ``out`` names its outputs, ``"a b"``."""
    written: Document = {"run": run, "in": links, "out": out.split()}
    if scatter:
        written["scatter"] = scatter
    if when:
        written["when"] = when
    return written


def glob(pattern: str, kind: str = "File", **fields: Any) -> Document:
    """An output found by its name."""
    return {"type": kind, "outputBinding": {"glob": pattern}, **fields}


def on_command_line(kind: Any, **fields: Any) -> Document:
    """An input that goes into the command."""
    return {"type": kind, "inputBinding": {"position": 1, **fields}}


ECHO = tool("echo", inputs={"text": on_command_line("string")}, outputs={"said": "stdout"}, stdout="said.txt")


class Desk:
    """A folder with documents in it."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def write(self, name: str, content: Document | str | bytes) -> str:
        """Write a file: a document, or a text whose indentation goes. Returns its path."""
        path = self.folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        if isinstance(content, bytes):
            path.write_bytes(content)
        elif isinstance(content, str):
            path.write_text(textwrap.dedent(content), encoding="utf-8")
        else:
            path.write_text(json.dumps(content, indent=1), encoding="utf-8")
        return str(path)

    @property
    def outdir(self) -> Path:
        """Where outputs go."""
        return self.folder / "outputs"

    def listing(self) -> list[str]:
        """What lies in the folder for outputs, hidden files too."""
        return sorted(str(path.relative_to(self.outdir)) for path in self.outdir.rglob("*"))


def new_desk(folder: Path, monkeypatch: pytest.MonkeyPatch) -> Desk:
    """An empty folder that is the current one from now on, with states, caches and scratch of its own beside it."""
    desk = folder / "desk"
    desk.mkdir()
    monkeypatch.chdir(desk)
    (folder / "scratch").mkdir()
    monkeypatch.setenv("TMPDIR", str(folder / "scratch"))
    monkeypatch.setenv("XDG_STATE_HOME", str(folder / "state"))
    monkeypatch.setenv("XDG_CONFIG_HOME", str(folder / "config"))
    return Desk(desk)


class _Silent(SimpleHTTPRequestHandler):
    def log_message(self, *_: Any) -> None:
        pass


@contextlib.contextmanager
def web_site(folder: Path) -> Iterator[str]:
    """The files of a folder on the web; gives the address, without a slash at the end."""
    with ThreadingHTTPServer(("127.0.0.1", 0), functools.partial(_Silent, directory=str(folder))) as server:
        thread = threading.Thread(target=server.serve_forever, daemon=True)
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_port}"
        finally:
            server.shutdown()
            thread.join()
