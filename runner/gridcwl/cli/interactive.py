"""A job's container with a person in it: inputs staged by the worker as always, and a command of theirs in place of the
tool, with this terminal as its streams."""

from __future__ import annotations

import os
import signal
import sys
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from gridcwl.errors import BackendError
from gridcwl.model import Job
from gridcwl.model.codec import to_plain
from gridcwl.worker.bare_engine import BareEngine
from gridcwl.worker.cli_engines import find_engine
from gridcwl.worker.control import Control
from gridcwl.worker.engine import EngineError
from gridcwl.worker.interactive import SHELL, InteractiveEngine
from gridcwl.worker.job import run_job
from gridcwl.worker.options import WorkerOptions
from gridcwl.worker.removing import remove_tree


def at_terminal() -> bool:
    """Whether a person types and reads: input and output are a terminal, and neither is closed."""
    return all(stream is not None and not stream.closed and stream.isatty() for stream in (sys.stdin, sys.stdout))


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
    plain = plain_of(job) | {"storage": None}
    terminal = at_terminal()
    try:
        bare = engine == "none" or job.image is None
        inner = BareEngine() if bare else find_engine(engine)
        with _working(folder) as workdir:
            words = command or (SHELL if terminal else ("sh",))
            shell = InteractiveEngine(inner, words, terminal=terminal, term=os.environ.get("TERM", ""))
            with _signals(control := Control()):
                result = run_job(plain, str(workdir), shell, control, options=WorkerOptions())
    except EngineError as error:
        raise BackendError(str(error).rstrip("."), remedy="See --docker, --podman and --no-container.") from None
    code = result["exit_code"]
    if code is None:
        raise BackendError(f"The container of {job.name} could not be opened: {str(result['reason']).rstrip('.')}")
    return 128 - code if code < 0 else int(code)


def plain_of(job: Job) -> dict[str, Any]:
    """The job for the worker, with its inputs and without its outputs and streams."""
    left_out: dict[str, Any] = {"stdin": None, "stdout": None, "stderr": None, "processes": [], "in_place": False}
    return to_plain(job) | left_out | {"outputs": {"globs": []}}


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
