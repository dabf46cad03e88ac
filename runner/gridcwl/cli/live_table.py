"""The live table of a run's steps: what it shows is decided by pure functions, and drawn by rich."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

from gridcwl import imports
from gridcwl.cli.pace import Paces, clock_text, shown_rate
from gridcwl.cli.terminal import escaped
from gridcwl.engine.progress import StepProgress

if TYPE_CHECKING:
    from rich.console import RenderableType
    from rich.table import Table
    from rich.text import Text

_NAME = 12
"""Characters that a step's name keeps on the narrowest terminal."""
_WIDE = 100
"""Columns of a terminal from which on there is room for long bars."""
_TITLES = ("done", "running", "waiting", "failed", "retried", "reused", "rate", "ETA")
_STYLES = ("green", "cyan", "dim", "bold red", "yellow", "blue", "dim", "dim")
_ALWAYS = ("done", "running")
_FIRST_TO_GO = ("waiting", "rate", "reused", "retried", "ETA", "running")
"""Columns that are left out where there is no room, in this order."""


@dataclass(frozen=True, slots=True)
class Counted:
    """What is counted beside the engine's progress, by the names of steps."""

    running: Mapping[str, int] = field(default_factory=dict)
    """Jobs that have begun: a shard that was given out may still wait."""
    retried: Mapping[str, int] = field(default_factory=dict)
    reused: Mapping[str, int] = field(default_factory=dict)
    """Results of earlier sessions and of other runs."""


@dataclass(frozen=True, slots=True)
class Line:
    """One step as it is shown; a sub-workflow that is closed stands for the steps within it, and counts their jobs."""

    step: StepProgress
    running: int
    retried: int
    reused: int
    closed: int = 0
    """Steps within it that are not shown."""
    more: bool = False
    """It is closed, and how many jobs it has is not known yet."""
    whole: StepProgress | None = None
    """The sub-workflow itself, if it is closed."""


def lines_of(steps: Sequence[StepProgress], counted: Counted, height: int) -> list[Line]:
    """At most ``height`` lines: sub-workflows are closed, quiet and deep ones first; then quiet steps are left out."""
    closed = _to_close(steps, height)
    lines: list[Line] = []
    at: dict[tuple[str, ...], int] = {}
    for step in steps:
        inside = next((step.path[:size] for size in range(1, len(step.path)) if step.path[:size] in closed), None)
        running = step.running if step.is_workflow else counted.running.get(step.name, 0)
        retried, reused = counted.retried.get(step.name, 0), counted.reused.get(step.name, 0)
        if inside is None or inside not in at:
            at[step.path] = len(lines)
            running = 0 if step.is_workflow and step.path in closed else running
            lines.append(Line(step, running, retried, reused))
            continue
        known = lines[at[inside]]
        lines[at[inside]] = replace(
            known,
            step=_with_jobs(known, step),
            whole=known.whole or known.step,
            more=known.more or (step.total is None and not step.is_workflow),
            running=known.running + (0 if step.is_workflow else running),
            retried=known.retried + retried,
            reused=known.reused + reused,
            closed=known.closed + 1,
        )
    return most_telling(lines, height)


def _with_jobs(line: Line, inner: StepProgress) -> StepProgress:
    """What a closed sub-workflow shows when one more of its steps is not."""
    step = line.step
    if line.whole is None:  # it is the first: from now on jobs are counted, and not instances of the sub-workflow
        step = StepProgress(step.path, is_workflow=True, total=0, taken=0, done=0, failed=0, skipped=0, blocked=0)
    if inner.is_workflow:
        return step
    return StepProgress(
        step.path,
        is_workflow=True,
        total=(step.total or 0) + (inner.total or 0),
        taken=step.taken + inner.taken,
        done=step.done + inner.done,
        failed=step.failed + inner.failed,
        skipped=step.skipped + inner.skipped,
        blocked=step.blocked + inner.blocked,
    )


def _to_close(steps: Sequence[StepProgress], height: int) -> set[tuple[str, ...]]:
    """The sub-workflows to close so that the others fit."""
    left = len(steps)
    inside: dict[tuple[str, ...], list[StepProgress]] = {step.path: [] for step in steps if step.is_workflow}
    for step in steps:
        for size in range(1, len(step.path)):
            if step.path[:size] in inside:
                inside[step.path[:size]].append(step)

    def noise(path: tuple[str, ...]) -> tuple[bool, bool, int]:
        within = inside[path]
        return any(step.failed for step in within), any(step.running for step in within), -len(path)

    closed: set[tuple[str, ...]] = set()
    gone: set[tuple[str, ...]] = set()
    for path in sorted(inside, key=noise):
        if left <= height:
            break
        hidden = [step.path for step in inside[path] if step.path not in gone]
        closed.add(path)
        gone.update(hidden)
        left -= len(hidden)
    return closed


def most_telling(lines: Sequence[Line], height: int) -> list[Line]:
    """At most so many lines, in their order: first failed, then running, then those that have begun and not ended."""
    if len(lines) <= height:
        return list(lines)

    def rank(at: int) -> tuple[bool, bool, bool, bool]:
        step = lines[at].step
        over = _is_over(lines[at].whole or step)
        return not step.failed, not (lines[at].running or step.running), over, not step.taken

    order = sorted(range(len(lines)), key=rank)
    return [lines[at] for at in sorted(order[:height])]


def _is_over(step: StepProgress) -> bool:
    return step.total is not None and step.done + step.failed + step.skipped >= step.total


def table_of(
    steps: Sequence[StepProgress], counted: Counted, paces: Paces, height: int, width: int, *, unicode: bool = True
) -> Table:
    """One line for each step, as many as fit."""
    imports.load("rich")
    from rich.table import Table
    from rich.text import Text

    lines = lines_of(steps, counted, max(height, 1))
    if sum(1 + line.closed for line in lines) < len(steps):
        lines = lines_of(steps, counted, max(height - 1, 1))  # one line says how many are left out
    cells = [_cells(line, paces, width) for line in lines]
    bar = 16 if width >= _WIDE else 8
    shown, widths = _fitting(cells, width - bar - _NAME - 2)
    name = max(_NAME, width - sum(widths) - 2 * len(widths) - bar - 2)
    table = Table(box=None, pad_edge=False)
    table.add_column("step", no_wrap=True, max_width=name, overflow="ellipsis")
    table.add_column("", no_wrap=True, min_width=bar, max_width=bar)
    for at, size in zip(shown, widths, strict=True):
        table.add_column(_TITLES[at], justify="right", style=_STYLES[at], no_wrap=True, min_width=size)
    for line, row in zip(lines, cells, strict=True):
        table.add_row(
            _name(line, name),
            bar_of(line, bar, unicode=unicode),
            *(Text(row[at]) for at in shown),
            style="" if line.step.taken or line.step.skipped else "dim",
        )
    hidden = len(steps) - sum(1 + line.closed for line in lines)
    if hidden > 0:
        text = f"... and {hidden} more steps"
        table.add_row(Text(text if len(text) <= name else f"+ {hidden} more"), style="dim")
    return table


def _fitting(cells: Sequence[tuple[str, ...]], room: int) -> tuple[list[int], list[int]]:
    """The columns that have something to show and fit, and how wide they are."""
    sizes = [max(len(title), *(len(row[at]) for row in cells), 0) for at, title in enumerate(_TITLES)]
    shown = [at for at, title in enumerate(_TITLES) if title in _ALWAYS or any(row[at] for row in cells)]
    for title in _FIRST_TO_GO:
        if sum(sizes[at] + 2 for at in shown) > room:
            shown = [at for at in shown if _TITLES[at] != title]
    return shown, [sizes[at] for at in shown]


def _name(line: Line, width: int) -> Text:
    imports.load("rich")
    from rich.text import Text

    name = "  " * (len(line.step.path) - 1) + escaped(line.step.path[-1])
    name = name if len(name) <= width else f"{name[: width - 1]}…"
    within = f" ({line.closed} steps)" if line.closed else ""
    return Text(name).append(within if len(name) + len(within) <= width else "", style="dim")


def _cells(line: Line, paces: Paces, width: int) -> tuple[str, ...]:
    step, whole = line.step, line.whole or line.step
    if step.total is None or (line.closed and not step.total):
        return ("not run" if step.blocked else "", *([""] * 7))
    skipped = f" (+{step.skipped} skipped)" if step.skipped and width >= _WIDE else ""
    waiting = step.total - step.done - step.failed - step.skipped - line.running
    many = (whole.total or 0) > 1 and not _is_over(whole)
    return (
        f"{step.done} of {step.total - step.skipped}{'+' if line.more else ''}{skipped}",
        str(line.running or ""),
        str(max(0, waiting) or ""),
        str(step.failed or ""),
        str(line.retried or ""),
        str(line.reused or ""),
        shown_rate(paces.rate(whole)) if many else "",
        clock_text(paces.left_s(whole)) if many else "",
    )


def bar_of(line: Line, width: int, *, unicode: bool = True) -> Text:
    """Done, failed and running jobs as lengths; nothing for a step that has one job, or none yet."""
    imports.load("rich")
    from rich.text import Text

    step = line.step
    total = (step.total or 0) - step.skipped
    if total <= 1:
        return Text("")
    full, empty = ("━", "─") if unicode else ("#", "-")
    text, used = Text(), 0
    running = step.running if step.is_workflow and not line.closed else line.running
    for number, style in ((step.done, "green"), (step.failed, "red"), (running, "cyan")):
        length = min(width - used, round(width * number / total) or (1 if number else 0))
        text.append(full * length, style=style)
        used += length
    return text.append(empty * (width - used), style="dim")


def head_of(
    run: str, elapsed: str, steps: Sequence[StepProgress], counted: Counted, paces: Paces, width: int
) -> RenderableType:
    """The run, and all its jobs together, in as much of one or two lines as there is room for."""
    imports.load("rich")
    from rich.text import Text

    own = [step for step in steps if not step.is_workflow]
    total = sum((step.total or 0) - step.skipped for step in own)
    numbers = [
        (
            f"{sum(step.done for step in own)} of {total}{'+' if any(step.total is None for step in own) else ''} jobs",
            "",
        ),
        *_number(sum(counted.running.values()), "running", "cyan"),
        *_number(sum(step.failed for step in own), "failed", "bold red"),
        *_number(sum(counted.retried.values()), "retried", "yellow"),
        *_number(sum(counted.reused.values()), "reused", "blue"),
    ]
    left = clock_text(paces.run_left_s(steps))
    numbers += [(f"ETA {left}", "dim")] if left else []
    first = Text(no_wrap=True, overflow="ellipsis").append(f"gridcwl  {run}  {elapsed}", style="bold")
    second = Text(no_wrap=True, overflow="ellipsis")
    for text, style in numbers:
        second.append(", " if second else "").append(text, style=style)
    if len(first) + 2 + len(second) <= width:
        return first.append("  ").append_text(second)
    return Text("\n", no_wrap=True, overflow="ellipsis").join([first, second])


def _number(number: int, word: str, style: str) -> list[tuple[str, str]]:
    return [(f"{number} {word}", style)] if number else []
