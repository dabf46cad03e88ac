"""What to ask for instead: suggestions from what the jobs of a step requested and used. Pure functions."""

from __future__ import annotations

import math
from collections.abc import Iterator

from gridcwl.runs.report.model import StepUsage

_MARGIN = 1.25
_TIME_MARGIN = 1.5
_WORTH_MIB = 256
"""Less memory than this is not worth a suggestion."""
_DEFAULT_DISK_MIB = 2048
"""What is asked for by documents that say nothing."""
_SMALL = 0.75
"""Of what was requested: what would do has to be less than this."""
_SHORT_LIMIT_S = 60


def suggestions(step: StepUsage, *, remote: bool) -> tuple[str, ...]:
    """In words, for the document's author.

    Args:
        step: of jobs that ended well.
        remote: its jobs ran at a batch system.
    """
    found = (*_memory(step), *_cores(step), *_disk(step), *_time(step), *(_queue(step) if remote else ()))
    return tuple(f"`{step.name}` {text}" for text in found)


def _memory(step: StepUsage) -> Iterator[str]:
    if step.requested is None or step.max_rss_mib is None:
        return
    asked, used = step.requested.ram_mib[1], step.max_rss_mib.most
    enough = rounded_up(round(used) * _MARGIN)
    words = f"requested {asked} MiB and used {used:.0f} MiB{_of(step)}"
    if used > asked:
        yield f"{words}, which a site may not allow: set `ramMin: {enough}`"
    elif enough < asked * _SMALL and asked - enough >= _WORTH_MIB:
        yield f"{words}: set `ramMin: {enough}`"


def _cores(step: StepUsage) -> Iterator[str]:
    if step.requested is None or step.busy_cores is None:
        return
    asked, busy = step.requested.cores[1], step.busy_cores.p95
    enough = max(1, math.ceil(busy * 1.1 - 0.05))
    words = f"requested {_number(asked)} core{'s' if asked != 1 else ''} and kept {busy:.1f} busy{_of(step)}"
    if (enough > asked and busy > asked * _MARGIN) or enough < asked:
        yield f"{words}: set `coresMin: {enough}`"


def _disk(step: StepUsage) -> Iterator[str]:
    if step.requested is None or step.disk_mib is None:
        return
    asked, used = step.requested.disk_mib[1], step.disk_mib.most
    enough = rounded_up(used * _MARGIN)
    words = f"requested {asked} MiB of disk space and used {used:.0f} MiB{_of(step)}"
    if used > asked:
        yield f"{words}: set `outdirMin` and `tmpdirMin` to {enough} together"
    elif asked > _DEFAULT_DISK_MIB and enough < asked * _SMALL:
        yield f"{words}: {enough} MiB would do for `outdirMin` and `tmpdirMin` together"


def _time(step: StepUsage) -> Iterator[str]:
    if step.requested is None or step.wall_s is None or not step.requested.time_limit_s:
        return
    limit, longest = step.requested.time_limit_s, step.wall_s.most
    enough = max(_SHORT_LIMIT_S, rounded_up(longest * _TIME_MARGIN))
    words = f"may run for {limit} s and took up to {longest:.0f} s"
    if longest > limit * 0.9:
        yield f"{words}: set `timelimit: {enough}`"
    elif enough < limit / 3:
        yield f"{words}: set `timelimit: {enough}`, which lets a site start it earlier"


def _queue(step: StepUsage) -> Iterator[str]:
    if step.queued_s is None or step.wall_s is None or step.wall_s.count < 10:
        return
    waited, ran = step.queued_s.median, step.wall_s.median
    if ran < 300 and waited > 3 * ran:
        number = min(100, max(2, round(900 / max(ran, 1))))
        yield f"waited {waited:.0f} s for jobs of {ran:.0f} s: run several in one job with `--pack-jobs {number}`"


def rounded_up(number: float) -> int:
    """To two digits that people would choose: 587 is 600, 1234 is 1300, 8 is 10."""
    if number <= 10:
        return 10
    unit = int(10 ** (len(str(math.ceil(number))) - 2))
    return math.ceil(number / unit) * unit


def _of(step: StepUsage) -> str:
    counted = step.max_rss_mib or step.wall_s
    return f" at most, in {counted.count} jobs" if counted is not None and counted.count > 1 else ""


def _number(value: float) -> str:
    return f"{value:g}"
