"""The service in this process, and a WES client of a few lines."""

from __future__ import annotations

import asyncio
import json
import os
import subprocess
import sys
import threading
from collections.abc import Iterator, Mapping
from concurrent.futures import Future
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
from fastapi.testclient import TestClient
from waiting import until

from gridcwl.service.app import application
from gridcwl.service.serving import serve
from gridcwl.service.settings import ServiceSettings, load

PREFIX = "/ga4gh/wes/v1"
ENDS = ("COMPLETE", "EXECUTOR_ERROR", "SYSTEM_ERROR", "CANCELED")
IMAGE = {"DockerRequirement": {"dockerPull": "debian:stable-slim"}}


class Wes:
    """A client of a service."""

    def __init__(self, http: Any, settings: ServiceSettings | None = None) -> None:
        self.http = http
        self.settings = settings

    @property
    def service(self) -> Any:
        """The service's parts."""
        return self.http.app.state.service

    def get(self, path: str, **options: Any) -> Any:
        """A GET below the WES prefix; the response."""
        return self.http.get(f"{PREFIX}{path}", **options)

    def post(
        self,
        document: Mapping[str, Any] | None,
        params: Any = None,
        *,
        files: Mapping[str, bytes | Mapping[str, Any]] | None = None,
        headers: Mapping[str, str] | None = None,
        **fields: Any,
    ) -> Any:
        """POST a run; the response. ``document`` is attached as ``main.cwl``; None attaches none."""
        form = {
            "workflow_type": "CWL",
            "workflow_type_version": "v1.2",
            "workflow_url": "main.cwl",
            "workflow_params": params if isinstance(params, str) else json.dumps(params or {}),
        }
        form = {name: value for name, value in (form | fields).items() if value is not None}
        attached = dict(files or {}) | ({} if document is None else {"main.cwl": document})
        parts = [
            ("workflow_attachment", (name, data if isinstance(data, bytes) else json.dumps(data).encode()))
            for name, data in attached.items()
        ]
        plain = [(name, (None, value)) for name, value in form.items()]
        return self.http.post(f"{PREFIX}/runs", files=[*plain, *parts], headers=dict(headers or {}))

    def submit(self, document: Mapping[str, Any] | None, params: Any = None, **fields: Any) -> str:
        """POST a run that is accepted; its id."""
        answer = self.post(document, params, **fields)
        assert answer.status_code == 200, answer.text
        return str(answer.json()["run_id"])

    def state(self, run: str) -> str:
        """The state of a run."""
        return str(self.get(f"/runs/{run}/status").json()["state"])

    def ended(self, run: str) -> dict[str, Any]:
        """The RunLog of a run that has ended."""
        until(lambda: self.state(run) in ENDS)
        return dict(self.get(f"/runs/{run}").json())

    def run(self, document: Mapping[str, Any] | None, params: Any = None, **fields: Any) -> dict[str, Any]:
        """Run a document to its end; the RunLog."""
        return self.ended(self.submit(document, params, **fields))


@contextmanager
def serving(folder: Path, headers: Mapping[str, str] | None = None, **options: Any) -> Iterator[Wes]:
    """A service in this process."""
    settings = load(None, {"folder": folder / "service", **options})
    with TestClient(application(settings), base_url="http://127.0.0.1", headers=dict(headers or {})) as http:
        yield Wes(http, settings)


@contextmanager
def in_thread(folder: Path, **options: Any) -> Iterator[Wes]:
    """A service in a thread of this process, which listens at a free port."""
    settings = load(None, {"folder": folder / "service", "port": 0, **options})
    ready: Future[str] = Future()
    loop, stop = asyncio.new_event_loop(), asyncio.Event()

    def run() -> None:
        try:
            loop.run_until_complete(serve(settings, ready.set_result, stop))
        except BaseException as error:
            if ready.done():
                raise
            ready.set_exception(error)

    thread = threading.Thread(target=run)
    thread.start()
    try:
        with httpx.Client(base_url=ready.result(timeout=120), timeout=120) as http:
            yield Wes(http, settings)
    finally:
        loop.call_soon_threadsafe(stop.set)
        thread.join()
        loop.close()


@contextmanager
def process(folder: Path, **settings: Any) -> Iterator[tuple[Wes, subprocess.Popen[str]]]:
    """A service in a process of its own."""
    config = folder / "service.toml"
    runs = settings.pop("runs", {})
    lines = [f"{name} = {_toml(value)}" for name, value in settings.items()]
    config.write_text("\n".join([*lines, "[runs]", *(f"{name} = {_toml(value)}" for name, value in runs.items())]))
    command = [sys.executable, "-m", "gridcwl", "serve", "--port", "0", "--dir", str(folder / "d")]
    environment = {name: value for name, value in os.environ.items() if name != "GRIDCWL_ENGINE"}
    command = [*command, "--config", str(config)]
    started = subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=environment)
    try:
        assert started.stdout is not None
        with httpx.Client(base_url=started.stdout.readline().strip(), timeout=120) as http:
            yield Wes(http), started
    finally:
        if started.poll() is None:
            started.terminate()
        started.wait()


def _toml(value: Any) -> str:
    """A value on one line of TOML."""
    if isinstance(value, dict):
        return f"{{{', '.join(f'{json.dumps(name)} = {_toml(one)}' for name, one in value.items())}}}"
    return f"[{', '.join(map(_toml, value))}]" if isinstance(value, list) else json.dumps(value)


def program(client: str, name: str) -> str:
    """A program of a WES client of another project, as ``make wes-clients`` installs it."""
    root = Path(__file__).parents[2]
    clients = root / "build" / "wes-clients"
    if not (clients / client / "bin" / name).exists():
        subprocess.run([root / "scripts" / "wes-clients", sys.prefix, clients], cwd=root, check=True)
    return str(clients / client / "bin" / name)


def schemathesis(specification: Path, url: str, excluded: str) -> None:
    """Generated requests, malformed ones too, find nothing that a specification does not allow."""
    command = [
        *(program("schemathesis", "schemathesis"), "run", str(specification), "--url", url),
        *("--max-examples", "5", "--seed", "1", "--generation-database", "none", "--no-color"),
        *("--exclude-checks", excluded),
    ]
    done = subprocess.run(command, cwd=specification.parent, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout[-6000:]
