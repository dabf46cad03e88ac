"""SIGINT, SIGTERM and SIGHUP cancel the run; the exit code says which signal it was."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import signal
import stat
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from gridcwl import tasks
from gridcwl.errors import EXIT_FAILURE, RunCancelled

if TYPE_CHECKING:
    from gridcwl.runs.prepared import PreparedRun

log = logging.getLogger("gridcwl.runs")


@contextmanager
def cancelling(run: PreparedRun) -> Iterator[None]:
    """Within this, in an event loop, signals cancel the run.

    Raises:
        RunCancelled: with the exit code that shells use: 128 and the number of the first signal.
    """
    tasks.end_process = _end_process
    loop = asyncio.get_running_loop()
    received: list[signal.Signals] = []

    def stop(number: signal.Signals) -> None:
        received.append(number)
        _leave_terminal(number)
        if len(received) == 1:
            log.warning("%s: stopping the run and its jobs ...", number.name)
            run.cancel(number.name)

    handled = (signal.SIGINT, signal.SIGTERM, *_hangup())
    for number in handled:
        loop.add_signal_handler(number, stop, number)
    try:
        yield
    except RunCancelled as error:
        if received:
            error.exit_code = 128 + received[0]
        raise
    finally:
        tasks.end_process = None
        for number in handled:
            loop.remove_signal_handler(number)


def _end_process() -> None:
    """End although the thread of the event loop does not: as after a kill, the run can be resumed."""
    with contextlib.suppress(OSError, ValueError):
        sys.stderr.flush()
    os._exit(EXIT_FAILURE)


def _hangup() -> tuple[signal.Signals, ...]:
    """SIGHUP, which a terminal sends when it is closed; not if nohup or a shell has it ignored."""
    return () if signal.getsignal(signal.SIGHUP) is signal.SIG_IGN else (signal.SIGHUP,)


def _leave_terminal(number: signal.Signals) -> None:
    """Write no more to a terminal that has been closed: that would be an error each time."""
    if number is not signal.SIGHUP:
        return
    null = os.open(os.devnull, os.O_RDWR)
    for stream in (1, 2):
        with contextlib.suppress(OSError):
            if stat.S_ISCHR(os.fstat(stream).st_mode):
                os.dup2(null, stream)
    os.close(null)
