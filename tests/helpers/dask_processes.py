"""A Dask scheduler and its workers as processes of their own, with TLS; each can be killed and started again."""

from __future__ import annotations

import contextlib
import itertools
import os
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from distributed.security import Security

from gridcwl.backends.dask.plugin import DaskSettings

_PATIENCE_S = 60
COMPILED = {
    "PYTHONDONTWRITEBYTECODE": "",
    "PYTHONPYCACHEPREFIX": str(Path(__file__).parents[2] / "build" / "pycache"),
}
"""For the environment of processes that import distributed: to compile it takes two seconds of CPU, each time."""


class DaskProcesses:
    """A scheduler on a free port of 127.0.0.1, and workers that have no gridcwl of their own."""

    def __init__(self, folder: Path, workers: int = 1, threads: int = 4) -> None:
        self.folder, self._threads = folder, threads
        self._count = workers
        self._port = 0
        self._numbers = itertools.count()
        self._processes: dict[str, subprocess.Popen[bytes]] = {}
        security = Security.temporary()
        self.ca, self.certificate, self.key = (folder / name for name in ("ca.pem", "cert.pem", "key.pem"))
        self.ca.write_text(security.tls_ca_file)
        self.certificate.write_text(security.tls_client_cert)
        self.key.touch(mode=0o600)
        self.key.write_text(security.tls_client_key)

    def __enter__(self) -> Self:
        self.start_scheduler()
        for _ in range(self._count):
            self.start_worker()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        for name in list(self._processes):
            self.kill(name)

    @property
    def address(self) -> str:
        return f"tls://127.0.0.1:{self._port}"

    def settings(self, **fields: Any) -> DaskSettings:
        tls = {"tls_ca": self.ca, "tls_cert": self.certificate, "tls_key": self.key}
        return DaskSettings(**{"address": self.address, **tls, **fields})

    def start_scheduler(self) -> None:
        """Start one, on the port of the one before if there was one."""
        ready = self.folder / "scheduler.json"
        ready.unlink(missing_ok=True)
        words = ["--host", f"tls://127.0.0.1:{self._port}", "--dashboard-address", "127.0.0.1:0"]
        self._start("scheduler", ["scheduler", *words, "--scheduler-file", str(ready), *self._tls()])
        until = time.monotonic() + _PATIENCE_S
        while not (found := _address(ready)):
            assert time.monotonic() < until, (self.folder / "scheduler.log").read_text()
            assert self._processes["scheduler"].poll() is None, (self.folder / "scheduler.log").read_text()
            time.sleep(0.05)
        self._port = int(found.rpartition(":")[2])

    @property
    def workers(self) -> list[str]:
        """The names of those that were started and not killed."""
        return [name for name in self._processes if name.startswith("worker-")]

    def pid(self, name: str) -> int:
        """The process of one of them."""
        return self._processes[name].pid

    def folder_of(self, worker: str) -> Path:
        """Where a worker, and the process beside it, have their files."""
        return self.folder / f"local-{worker}"

    def start_worker(self) -> str:
        """Start one; returns its name, which no other one had."""
        number = next(self._numbers)
        local = self.folder_of(f"worker-{number}")
        local.mkdir()
        words = ["--nthreads", str(self._threads), "--no-dashboard", "--no-nanny", "--name", f"w{number}"]
        words += ["--local-directory", str(local), "--memory-limit", "0"]
        self._start(f"worker-{number}", ["worker", self.address, *words, *self._tls()])
        return f"worker-{number}"

    def kill(self, name: str, how: int = signal.SIGKILL) -> None:
        """End one of them, and wait for that."""
        process = self._processes.pop(name)
        with contextlib.suppress(ProcessLookupError):
            process.send_signal(how)
        process.wait(_PATIENCE_S)

    def _tls(self) -> list[str]:
        words = ["--tls-ca-file", str(self.ca), "--tls-cert", str(self.certificate), "--tls-key", str(self.key)]
        return [*words, "--protocol", "tls"]

    def _start(self, name: str, words: list[str]) -> None:
        # -P and the folder: nothing of the checkout is imported by chance
        with (self.folder / f"{name}.log").open("ab") as log:
            self._processes[name] = subprocess.Popen(
                [sys.executable, "-P", "-m", "distributed.cli.dask_" + words[0], *words[1:]],
                stdout=log,
                stderr=log,
                stdin=subprocess.DEVNULL,
                cwd=tempfile.gettempdir(),
                env={**os.environ, **COMPILED, "DASK_DISTRIBUTED__SCHEDULER__WORK_STEALING": "True"},
            )


def _address(file: Path) -> str:
    import json

    try:
        return str(json.loads(file.read_text())["address"])
    except (OSError, ValueError, KeyError):
        return ""
