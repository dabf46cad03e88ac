"""What this machine has to give, and how it is given out to jobs."""

from __future__ import annotations

import asyncio
import os
import threading
import weakref
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from gridcwl.errors import ResourcesExceeded
from gridcwl.model import Job, Resources

_MIB = 1 << 20


_PATIENCE = 256
"""How often a run that waits may be overtaken by others of its event loop before nothing overtakes it any more."""


class Turn:
    """A run's place in the queue for the machine: woken when something is free again, in the run's own event loop."""

    def __init__(self, start: Callable[[], None]) -> None:
        """Prepare.

        Args:
            start: starts what fits; called in the run's event loop.
        """
        self.loop: asyncio.AbstractEventLoop | None = None
        self._start = start
        self._scheduled = False

    def wake(self) -> bool:
        """Let the run start what fits; False if its event loop is gone. May be called in any thread."""
        if self._scheduled or self.loop is None:
            return True
        self._scheduled = True
        try:
            self.loop.call_soon_threadsafe(self._run)
        except RuntimeError:
            return False
        return True

    def _run(self) -> None:
        self._scheduled = False
        self._start()


@dataclass(slots=True, weakref_slot=True)
class Ledger:
    """Cores, memory and GPUs: what there is, and what is not given out.

    Several runs may share it, in any threads. A run whose job does not fit waits in the queue, and is woken when a job
    of another run ends.
    """

    cores: float
    ram_mib: int
    gpus: int
    free_cores: float = 0.0
    free_ram_mib: int = 0
    free_gpus: int = 0
    _queue: dict[Turn, None] = field(default_factory=dict)
    """The runs that wait, the one that has waited longest first."""
    _overtaken: int = 0
    """How often the first of them was overtaken."""
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def __post_init__(self) -> None:
        self.free_cores, self.free_ram_mib, self.free_gpus = self.cores, self.ram_mib, self.gpus

    @property
    def largest(self) -> Resources:
        """The most that one job can get."""
        return Resources(cores=self.cores, ram_mib=self.ram_mib, gpus=self.gpus)

    def refuse_giants(self, job: Job) -> None:
        """Raise for a job that could never start here.

        Raises:
            ResourcesExceeded: naming what is short.
        """
        need = job.resources
        if need.cores > self.cores:
            raise ResourcesExceeded(job.name, f"{need.cores:g} cores", f"{self.cores:g}")
        if need.ram_mib > self.ram_mib:
            raise ResourcesExceeded(job.name, f"{need.ram_mib} MiB of memory", f"{self.ram_mib} MiB")
        if need.gpus > self.gpus:
            raise ResourcesExceeded(job.name, f"{need.gpus} GPU(s)", f"{self.gpus}", "CUDARequirement")

    def at_a_time(self, job: Job, most: int) -> int:
        """How many jobs like this one could run at a time, of so many."""
        need = job.resources
        fitting = [most, int(self.cores / (need.cores or 1))]
        fitting += [int(self.ram_mib / need.ram_mib)] if need.ram_mib else []
        fitting += [self.gpus // need.gpus] if need.gpus else []
        return max(1, min(fitting))

    def take(self, job: Job, turn: Turn | None = None) -> bool:
        """Give the job what it needs, if it is free; if not, its run waits in the queue."""
        need = job.resources
        with self._lock:
            first = next(iter(self._queue), turn)
            if (
                need.cores > self.free_cores
                or need.ram_mib > self.free_ram_mib
                or need.gpus > self.free_gpus
                or (first is not turn and self._overtaken >= _PATIENCE and _same_loop(first, turn))
            ):
                if turn is not None:
                    self._queue.setdefault(turn)
                return False
            self.free_cores -= need.cores
            self.free_ram_mib -= need.ram_mib
            self.free_gpus -= need.gpus
            self._overtaken = 0 if first is turn else self._overtaken + 1
            return True

    def give_back(self, job: Job) -> None:
        """The job has ended."""
        with self._lock:
            self.free_cores += job.resources.cores
            self.free_ram_mib += job.resources.ram_mib
            self.free_gpus += job.resources.gpus

    def to_the_end(self, turn: Turn) -> None:
        """The run has started something, and waits for more: others come first now."""
        with self._lock:
            if turn in self._queue:
                del self._queue[turn]
                self._queue[turn] = None

    def leave(self, turn: Turn) -> None:
        """The run no longer waits."""
        if turn not in self._queue:
            return
        with self._lock:
            first = next(iter(self._queue), None)
            self._queue.pop(turn, None)
            if first is not turn:
                return
            kept_back, self._overtaken = self._overtaken >= _PATIENCE, 0
        if kept_back:
            self.wake_others(turn)

    def wake_others(self, turn: Turn) -> list[Turn]:
        """Let all other runs that wait start what fits, in the order of the queue; returns them."""
        if not self._queue:
            return []
        with self._lock:
            others = [other for other in self._queue if other is not turn]
        return [other for other in others if self._woken(other)]

    def _woken(self, turn: Turn) -> bool:
        if turn.wake():
            return True
        self.leave(turn)
        return False


def _same_loop(first: Turn | None, turn: Turn | None) -> bool:
    return first is not None and turn is not None and first.loop is turn.loop


_shared: weakref.ref[Ledger] | None = None
_sharing = threading.Lock()


def shared_machine() -> Ledger:
    """What this machine has, for all runs of this process that are active at the same time."""
    global _shared  # noqa: PLW0603  as long as anybody has it
    with _sharing:
        ledger = _shared() if _shared is not None else None
        if ledger is None:
            ledger = this_machine()
            _shared = weakref.ref(ledger)
        return ledger


def this_machine() -> Ledger:
    """The cores that this process may use, the machine's memory, and its NVIDIA devices."""
    return Ledger(
        cores=float(len(os.sched_getaffinity(0))),
        ram_mib=_memory_limit() // _MIB,
        gpus=len(list(Path("/dev").glob("nvidia[0-9]*"))),
    )


def _memory_limit() -> int:
    """Physical memory, or less where a control group says so, as in a batch job or a container."""
    total = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    for name in ("/sys/fs/cgroup/memory.max", "/sys/fs/cgroup/memory/memory.limit_in_bytes"):
        try:
            total = min(total, int(Path(name).read_text(encoding="ascii")))
        except (OSError, ValueError):
            continue
    return total
