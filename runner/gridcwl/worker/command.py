"""The worker's command line: ``python gridcwl-worker.pyz job.json``.

Exit codes: 0 when the job succeeded, 1 when it failed, 2 for a wrong command line, and 128 plus the signal's number
when a signal asked the worker to stop. The result is in ``result.json`` in the working directory, written last.
"""

from __future__ import annotations

import argparse
import json
import logging
import os
import queue
import signal
import sys
import threading
from typing import List, Optional, Protocol

from gridcwl.worker.bare_engine import BareEngine
from gridcwl.worker.control import Control
from gridcwl.worker.engine import Engine, EngineError, Plain
from gridcwl.worker.failure import SUCCESS
from gridcwl.worker.job import run_job
from gridcwl.worker.options import WorkerOptions
from gridcwl.worker.orphans import ORPHANS

ENGINES = ("apptainer", "singularity", "podman", "docker", "udocker")

_SIGNALS = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP)


class Stoppable(Protocol):
    """What a signal stops: one job's ``Control``, or those of several."""

    def stop(self, reason: str) -> None:
        """End it, with grace."""

    def kill(self, reason: str) -> None:
        """End it now."""


def main(arguments: Optional[List[str]] = None) -> int:
    """Run the job that the command line names; returns the exit code."""
    options = _parser().parse_args(arguments)
    logging.basicConfig(format="gridcwl-worker: %(levelname)s: %(message)s", stream=sys.stderr, level=logging.INFO)
    control = Control(grace_s=options.grace)
    stopped = stop_on_signals(control)
    try:
        job = _read(options.job)
        engine = _engine(options.engine, job)
    except (OSError, ValueError, EngineError) as error:
        print(f"gridcwl-worker: {options.job} cannot be run: {error}", file=sys.stderr)
        return 2
    folder = os.path.dirname(os.path.abspath(options.job))
    given = WorkerOptions(base=folder, write_files=True, site=options.site)
    if not engine.containers:
        ORPHANS.watch()
    result = run_job(job, options.workdir or folder, engine, control, options=given)
    ORPHANS.end_all()
    if result["outcome"] == SUCCESS:
        return 0
    print(f"gridcwl-worker: {result['outcome']}: {result['reason']}", file=sys.stderr)
    return 128 + stopped[0] if stopped else 1


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="gridcwl-worker", description="Run one gridcwl job on this machine.")
    parser.add_argument("job", help="the job's description, a JSON file")
    parser.add_argument("--workdir", help="where the job's directories and result.json go (default: next to the job)")
    parser.add_argument(
        "--engine",
        choices=("auto", "none", *ENGINES),
        default="auto",
        help="what starts the container; none runs the bare command (default: the first one that is installed)",
    )
    parser.add_argument(
        "--site",
        default=os.environ.get("GRIDCWL_SITE", ""),
        help="where this machine is: storage elements of that site are used first (default: $GRIDCWL_SITE)",
    )
    parser.add_argument("--grace", type=float, default=10.0, metavar="SECONDS", help="from SIGTERM to SIGKILL (10)")
    return parser


def _read(path: str) -> Plain:
    with open(path, encoding="utf-8") as file:
        job = json.load(file)
    if isinstance(job, dict) and isinstance(job.get("id"), str):
        return job
    raise ValueError("it is not the JSON form of a job")


def _engine(name: str, job: Plain) -> Engine:
    if name == "none" or job.get("image") is None:
        return BareEngine()
    from gridcwl.worker.cli_engines import find_engine

    return find_engine(name)


def stop_on_signals(control: Stoppable) -> List[int]:
    """Forward signals to the tool; a second one kills it. The list that is returned fills with what came."""
    came: List[int] = []
    signals: "queue.SimpleQueue[int]" = queue.SimpleQueue()

    def forward() -> None:
        while True:
            number = signals.get()
            came.append(number)
            reason = f"The worker was asked to stop ({signal.Signals(number).name})."
            (control.stop if len(came) == 1 else control.kill)(reason)

    # A handler interrupts the main thread anywhere, so it may take no lock: it hands over to a thread that may.
    threading.Thread(target=forward, name="signals", daemon=True).start()
    for number in _SIGNALS:
        if signal.getsignal(number) is not signal.SIG_IGN:  # as under nohup
            signal.signal(number, lambda number, _frame: signals.put(number))
    return came
