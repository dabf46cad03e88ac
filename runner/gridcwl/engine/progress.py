"""How far each step is, counted as things happen, so that looking at it costs nothing per shard."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field

import msgspec

from gridcwl.engine.graph import Step, Workflow, depths


class StepProgress(msgspec.Struct, frozen=True):
    """One step at one moment. Instances of a sub-workflow in a scatter are added up under one path."""

    path: tuple[str, ...]
    is_workflow: bool
    """Then the shards are sub-workflow instances, and the steps inside follow with longer paths."""
    total: int | None
    """Shards known so far; None while the step waits for its inputs. Grows with each instance and each iteration."""
    taken: int
    """Shards begun: given out as invocations, or opened as sub-workflows."""
    done: int
    failed: int
    skipped: int
    """Shards whose ``when`` was false; never taken."""
    blocked: int
    """Runs of the whole step that never begin, as something before it failed."""

    @property
    def name(self) -> str:
        """``align/sort``."""
        return "/".join(self.path)

    @property
    def running(self) -> int:
        """Shards that have begun and not ended."""
        return self.taken - self.done - self.failed


@dataclass(slots=True)
class Counter:
    """The running count of one step."""

    path: tuple[str, ...]
    is_workflow: bool
    total: int | None = None
    taken: int = 0
    done: int = 0
    failed: int = 0
    skipped: int = 0
    blocked: int = 0
    depth: int = 0
    """How many steps come before it in the longest chain."""
    inside: list[Counter] = field(default_factory=list)
    """The steps of the sub-workflow, from when it is first entered."""

    def expect(self, shards: int) -> None:
        """So many more shards are known of."""
        self.total = (self.total or 0) + shards

    def refuse(self) -> None:
        """A shard failed before it could be given out."""
        self.taken += 1
        self.failed += 1

    def snapshot(self) -> StepProgress:
        """The count as a value that stays as it is."""
        return StepProgress(
            self.path, self.is_workflow, self.total, self.taken, self.done, self.failed, self.skipped, self.blocked
        )


def counters(prefix: tuple[str, ...], steps: tuple[Step, ...]) -> list[Counter]:
    """A counter for each step of a workflow."""
    return [
        Counter((*prefix, step.id), isinstance(step.run, Workflow), depth=depth)
        for step, depth in zip(steps, depths(steps), strict=True)
    ]


def flattened(counters: list[Counter]) -> Iterator[Counter]:
    """All counters, each after those of the steps that it waits for, and a sub-workflow's after its own."""
    ahead = _last_first(counters)
    while ahead:
        counter = ahead.pop()
        yield counter
        ahead.extend(_last_first(counter.inside))


def _last_first(counters: list[Counter]) -> list[Counter]:
    return sorted(counters, key=lambda counter: counter.depth)[::-1]
