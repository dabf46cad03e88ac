"""One thread that looks at all running tools now and then: what they use is not known any more when they have ended."""

from __future__ import annotations

import os
import threading
import time
from typing import Callable, Dict, Optional

from gridcwl.worker.usage import UNKNOWN, Used

_TICK_S = 0.1
_IDLE_TICKS = 50
_AGES_S = ((1.0, 0.1), (10.0, 0.25), (60.0, 1.0))
"""Up to which age how often; later every two seconds."""
_LATER_S = 2.0


class Sample:
    """What was seen of one tool."""

    def __init__(self, read: Callable[[], Used]) -> None:
        self._read = read
        self._lock = threading.Lock()
        self._ended = False
        self.begun = time.monotonic()
        self.due = self.begun + _TICK_S
        self.used = UNKNOWN

    def look(self) -> Used:
        """Read once more; returns the most that was seen."""
        with self._lock:
            if not self._ended:  # by now its numbers may be another's
                try:
                    self.used = self.used.most(self._read())
                except (OSError, ValueError, IndexError):  # a kernel that writes its files in another way
                    self._ended = True
            return self.used

    def end(self) -> None:
        """Never read again."""
        with self._lock:
            self._ended = True

    def schedule(self, now: float) -> None:
        """Read often at first: most tools are short, and of the others the beginning tells little."""
        age = now - self.begun
        self.due = now + next((pause for until, pause in _AGES_S if age < until), _LATER_S)


class Sampler:
    """The thread; it runs while there are tools. Every method may be called from any thread."""

    def __init__(self) -> None:
        self._samples: Dict[int, Sample] = {}
        self._condition = threading.Condition()
        self._thread: Optional[threading.Thread] = None
        self._pid = 0

    def watch(self, read: Callable[[], Used]) -> Sample:
        """Call this function now and then until :meth:`drop`."""
        sample = Sample(read)
        with self._condition:
            self._samples[id(sample)] = sample
            if self._thread is None or self._pid != os.getpid():
                self._pid = os.getpid()
                self._thread = threading.Thread(target=self._run, name="usage", daemon=True)
                self._thread.start()
        return sample

    def drop(self, sample: Sample, *, look: bool = False) -> Used:
        """The tool has ended; returns the most that was seen. ``look``: there is still something to see."""
        with self._condition:
            self._samples.pop(id(sample), None)
        used = sample.look() if look else sample.used
        sample.end()
        return used

    def _run(self) -> None:
        idle = 0
        while True:
            time.sleep(_TICK_S)
            with self._condition:
                samples = list(self._samples.values())
                idle = 0 if samples else idle + 1
                if idle > _IDLE_TICKS:
                    self._thread = None
                    return
            now = time.monotonic()
            for sample in samples:
                if sample.due <= now:
                    sample.look()
                    sample.schedule(now)


SAMPLER = Sampler()
