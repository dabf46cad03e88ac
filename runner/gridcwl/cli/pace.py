"""How fast jobs end, and how long the rest will take: from how many had ended at moments of the last minute or so."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from gridcwl.engine.progress import StepProgress

_EVERY_S = 2.0
_WINDOW_S = 60.0
_FEW = 5
"""With fewer ends than this in the last minute, a longer time is looked at."""
_KEPT = 200


@dataclass(slots=True)
class StepPace:
    """Of one step, or of the whole run."""

    _seen: deque[tuple[float, int]] = field(default_factory=deque)

    def note(self, now: float, ended: int) -> None:
        """So many had ended by now."""
        seen = self._seen
        if seen and now - seen[-1][0] < _EVERY_S:
            return
        seen.append((now, ended))
        if len(seen) > _KEPT:  # the far past in larger steps
            self._seen = deque([*list(seen)[: _KEPT // 2 : 2], *list(seen)[_KEPT // 2 :]])

    def rate(self, now: float, ended: int) -> float | None:
        """Ends per second; None if none was seen yet."""
        if not self._seen:
            return None
        then, before = self._seen[0]
        for at, number in reversed(self._seen):
            if now - at >= _WINDOW_S and ended - number >= _FEW:
                then, before = at, number
                break
        return (ended - before) / (now - then) if now - then >= _EVERY_S and ended > before else None

    def left_s(self, now: float, ended: int, left: int) -> float | None:
        """Seconds until the rest has ended, at this rate."""
        rate = self.rate(now, ended)
        return left / rate if rate and left > 0 else None


@dataclass(slots=True)
class Paces:
    """Of all steps of a run, and of the run."""

    clock: Callable[[], float] = lambda: time.monotonic()  # noqa: PLW0108  looked up each time, for tests
    whole: StepPace = field(default_factory=StepPace)
    _of: dict[str, StepPace] = field(default_factory=dict)

    def note(self, steps: Sequence[StepProgress]) -> None:
        """Look at the steps now."""
        now = self.clock()
        for step in steps:
            if step.taken:
                self._of.setdefault(step.name, StepPace()).note(now, step.done + step.failed)
        self.whole.note(now, sum(step.done + step.failed for step in steps if not step.is_workflow))

    def rate(self, step: StepProgress) -> float | None:
        """Jobs of a step that end per second."""
        pace = self._of.get(step.name)
        return pace.rate(self.clock(), step.done + step.failed) if pace is not None else None

    def left_s(self, step: StepProgress) -> float | None:
        """Seconds until the known jobs of a step have ended."""
        pace, left = self._of.get(step.name), left_of(step)
        return pace.left_s(self.clock(), step.done + step.failed, left) if pace is not None else None

    def run_left_s(self, steps: Sequence[StepProgress]) -> float | None:
        """Seconds until all known jobs have ended; None while a step does not know how many it has."""
        own = [step for step in steps if not step.is_workflow]
        if any(step.total is None and not step.blocked for step in own):
            return None
        ended, left = sum(step.done + step.failed for step in own), sum(map(left_of, own))
        return self.whole.left_s(self.clock(), ended, left)


def left_of(step: StepProgress) -> int:
    """Known jobs of a step that have not ended."""
    return 0 if step.total is None else max(0, step.total - step.done - step.failed - step.skipped)


def shown_rate(rate: float | None) -> str:
    """``2.1/s``, ``14/min``, ``3.5/h``."""
    if rate is None:
        return ""
    for per, unit in ((1.0, "s"), (60.0, "min"), (3600.0, "h")):
        if rate * per >= 1 or unit == "h":
            return f"{rate * per:.3g}/{unit}" if rate * per < 100 else f"{rate * per:.0f}/{unit}"
    return ""


def clock_text(seconds: float | None) -> str:
    """``0:12:30``, ``3 d 4:00``; empty if unknown."""
    if seconds is None:
        return ""
    whole = int(seconds + 0.5)
    days, rest = divmod(whole, 86400)
    if days:
        return f"{days} d {rest // 3600}:{rest // 60 % 60:02d}"
    return f"{rest // 3600:d}:{rest // 60 % 60:02d}:{rest % 60:02d}"
