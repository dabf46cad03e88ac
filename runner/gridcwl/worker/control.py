"""Stopping a job from another thread: asked first, killed after a time of grace."""

from __future__ import annotations

import logging
import threading
from typing import Callable, NamedTuple, Optional

from gridcwl.worker.engine import Running
from gridcwl.worker.failure import CANCELLED, TIME_LIMIT, WorkerFailure

log = logging.getLogger(__name__)


class Ending(NamedTuple):
    """Why a job is being ended."""

    outcome: str
    reason: str


class Control:
    """One job's stop button. Every method may be called from any thread, at any time, also after the end.

    The tool gets SIGTERM, and after ``grace_s`` seconds SIGKILL with all that it started. The first reason stands.
    """

    def __init__(self, grace_s: float = 10.0) -> None:
        self.ending: Optional[Ending] = None
        self._grace_s = grace_s
        self._lock = threading.Lock()
        self._running: Optional[Running] = None
        self._time_limit: Optional[threading.Timer] = None
        self._grace: Optional[threading.Timer] = None

    def stop(self, reason: str = "The job was cancelled.") -> None:
        """End the job as cancelled; returns at once."""
        self._end(Ending(CANCELLED, reason))

    def kill(self, reason: str = "The job was cancelled.") -> None:
        """End the job as cancelled, without grace."""
        self._end(Ending(CANCELLED, reason), grace_s=0)

    def check(self) -> None:
        """Raise the ``WorkerFailure`` that was asked for, if one was."""
        if self.ending is not None:
            raise WorkerFailure(self.ending.reason, self.ending.outcome)

    def attach(self, running: Running, time_limit_s: Optional[float] = None) -> None:
        """The tool runs now; for ``run_job``. A stop that was asked for earlier reaches it at once."""
        with self._lock:
            self._running = running
            ending = self.ending
            if ending is None and time_limit_s:  # CWL: zero is no limit
                over = Ending(TIME_LIMIT, f"The tool ran longer than its limit of {time_limit_s:g} s.")
                self._time_limit = _timer(time_limit_s, self._end, over)
        if ending is not None:
            self._terminate(running)

    def detach(self) -> None:
        """The tool has ended; for ``run_job``."""
        with self._lock:
            self._running = None
            for timer in (self._time_limit, self._grace):
                if timer is not None:
                    timer.cancel()

    def _end(self, ending: Ending, grace_s: Optional[float] = None) -> None:
        with self._lock:
            first = self.ending is None
            if first:
                self.ending = ending
            if grace_s is not None:
                self._grace_s = grace_s  # kept, as the tool may be starting right now and be attached after this
            running = self._running
        if running is not None and (first or grace_s is not None):
            self._terminate(running)

    def _terminate(self, running: Running) -> None:
        if self._grace_s <= 0:
            _quietly(running.kill)
            return
        with self._lock:
            if self._running is not running:
                return
            # Before the signal: a container engine that does not answer must not keep us from killing.
            self._grace = _timer(self._grace_s, _quietly, running.kill)
        _quietly(running.terminate)


def _timer(seconds: float, function: Callable[..., None], *arguments: object) -> threading.Timer:
    timer = threading.Timer(seconds, function, arguments)
    timer.daemon = True
    timer.start()
    return timer


def _quietly(action: Callable[[], None]) -> None:
    try:
        action()
    except Exception:  # noqa: BLE001  an engine's own errors; nobody up there could do more than we do
        log.warning("A running tool could not be signalled", exc_info=True)
