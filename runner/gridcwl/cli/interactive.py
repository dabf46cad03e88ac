"""A job's container with a person in it: inputs staged by the worker as always, and a command of theirs in place of the
tool, with this terminal as its streams."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from gridcwl.errors import BackendError
from gridcwl.model import Job
from gridcwl.model.codec import to_plain
from gridcwl.worker.bare_engine import BareEngine
from gridcwl.worker.cli_engines import CommandLineEngine, find_engine
from gridcwl.worker.cli_vectors import command_environment, vector
from gridcwl.worker.control import Control
from gridcwl.worker.engine import Call, EngineError, Exit
from gridcwl.worker.job import run_job
from gridcwl.worker.options import WorkerOptions
from gridcwl.worker.removing import remove_tree

SHELL = ("sh", "-c", "command -v bash >/dev/null 2>&1 && exec bash -i || exec sh -i")
_NOT_STARTED = 1


@dataclass(slots=True)
class _Session:
    """The started command, as the worker waits for it."""

    process: subprocess.Popen[bytes]

    def wait(self) -> Exit:
        """See ``Running.wait``."""
        return Exit(self.process.wait())

    def terminate(self) -> None:
        """See ``Running.terminate``."""
        self.process.terminate()

    def kill(self) -> None:
        """See ``Running.kill``."""
        self.process.kill()


class InteractiveEngine:
    """Starts a person's command where a tool would have been started; everything else is the inner engine's."""

    def __init__(self, inner: BareEngine | CommandLineEngine, command: Sequence[str], *, terminal: bool) -> None:
        self.name = inner.name
        self.containers = inner.containers
        self._inner = inner
        self._command = tuple(command)
        self._terminal = terminal

    def prepare(self, image: Mapping[str, Any]) -> str:
        """See ``Engine.prepare``."""
        return self._inner.prepare(image)

    def digest(self, prepared: str) -> str:
        """See ``Engine.digest``."""
        return self._inner.digest(prepared)

    def start(self, call: Call) -> _Session:
        """See ``Engine.start``. Signals of the terminal go to the command, which has it."""
        own = dict(call.environment)
        if self._terminal and "TERM" in os.environ:
            own.setdefault("TERM", os.environ["TERM"])
        call = replace(call, argv=self._command, environment=own, stdin=None)
        if isinstance(self._inner, BareEngine):
            return _Session(subprocess.Popen(call.argv, env=own, cwd=call.workdir))
        cli = self._inner._cli()
        words = vector(cli, call)
        if cli.daemonlike:
            words = [word for word in words if not word.startswith("--log-driver=")]
            words[2:2] = ["--interactive", "--log-driver=none", *(["--tty"] if self._terminal else [])]
        return _Session(subprocess.Popen(words, env={**os.environ, **command_environment(cli, call)}, cwd="/"))


def run_in(job: Job, engine: str, command: Sequence[str], folder: Path | None = None) -> int:
    """Run a command in the container of a job, with its inputs; returns the command's exit code.

    Args:
        job: its inputs are on this machine, or where the worker fetches them from.
        engine: ``docker``, ``podman`` and so on; ``auto`` for the first that is installed, ``none`` for none.
        command: an interactive shell if empty.
        folder: where its directories are made; a temporary one if None.

    Raises:
        BackendError: there is no engine, or the container cannot be started.
    """
    plain = to_plain(job)
    plain |= {"storage": None, "stdin": None, "stdout": None, "stderr": None, "processes": [], "in_place": False}
    plain["outputs"] = {"globs": []}
    terminal = sys.stdin.isatty() and sys.stdout.isatty()
    try:
        bare = engine == "none" or job.image is None
        inner = BareEngine() if bare else find_engine(engine)
        with _working(folder) as workdir:
            shell = InteractiveEngine(inner, command or (SHELL if terminal else ("sh",)), terminal=terminal)
            with _signals(control := Control()):
                result = run_job(plain, str(workdir), shell, control, options=WorkerOptions())
    except EngineError as error:
        raise BackendError(str(error).rstrip("."), remedy="See --docker, --podman and --no-container.") from None
    code = result["exit_code"]
    if code is None:
        raise BackendError(f"The container of {job.name} could not be opened: {str(result['reason']).rstrip('.')}")
    return 128 - code if code < 0 else int(code)


@contextmanager
def _working(folder: Path | None) -> Iterator[Path]:
    if folder is not None:
        yield folder
        return
    made = tempfile.mkdtemp(prefix="gridcwl-shell-")
    try:
        yield Path(made)
    finally:
        remove_tree(made)


@contextmanager
def _signals(control: Control) -> Iterator[None]:
    """Ctrl-C is the command's, which has the terminal; a request to end ends the command first."""
    before = {
        signal.SIGINT: signal.signal(signal.SIGINT, lambda *_: None),
        **{
            number: signal.signal(number, lambda number, _: control.stop(f"Stopped by {signal.Signals(number).name}."))
            for number in (signal.SIGTERM, signal.SIGHUP)
        },
    }
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
