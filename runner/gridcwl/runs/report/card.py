"""A run as a notebook shows it: its graph, its steps and sites, its failures, and what can be done next.

Cheap enough to be made again while the run is active: counts come from the journal in a few queries, whatever the
number of jobs. The HTML needs no script, so that it is as good in an exported notebook. All text is escaped.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass
from functools import cache
from html import escape
from importlib import resources

from gridcwl.runs.escaping import escaped
from gridcwl.runs.options import saved_grid
from gridcwl.runs.outline import OutlineStep, read_outline
from gridcwl.runs.record.counts import StepCounts
from gridcwl.runs.record.folder import RunFolder
from gridcwl.runs.record.history import History
from gridcwl.runs.record.journal_check import explained_damage
from gridcwl.runs.record.journal_rows import PlaceTally
from gridcwl.runs.record.status import RunStatus, status_in_history
from gridcwl.runs.report.gather import failure_details
from gridcwl.runs.report.graph_svg import in_words, picture, state_of
from gridcwl.runs.report.model import FailureDetails
from gridcwl.runs.report.page import failure_html
from gridcwl.runs.units import duration

_GROUPS = 5
_STEPS = 40
_SITES = 20
_TEXT = 2000
"""Signs of a message."""
_RESUMABLE = ("failed", "cancelled", "killed")


@dataclass(frozen=True, slots=True)
class Card:
    """What is shown of a run."""

    status: RunStatus
    outline: tuple[OutlineStep, ...] = ()
    places: tuple[PlaceTally, ...] = ()
    failures: tuple[FailureDetails, ...] = ()
    backend: str = ""
    server: str = ""
    """The service where the run is."""

    @property
    def actions(self) -> tuple[str, ...]:
        """What can be done with the run now, of ``cancel`` and ``resume``."""
        if self.status.active:
            return ("cancel",)
        return ("resume",) if self.status.state in _RESUMABLE and not self.server else ()


def card_of(folder: RunFolder) -> Card:
    """The card of a run, from its record.

    Raises:
        JournalError: the record cannot be read.
    """
    with explained_damage(folder), closing(History(folder.journal)) as history:
        groups = history.failure_groups(_GROUPS)
        return Card(
            status_in_history(folder, history),
            tuple(read_outline(history.meta("graph"))),
            tuple(history.by_place()),
            tuple(failure_details(folder, history, group) for group in groups),
            saved_grid(history.meta("options") or {}).backend,
        )


def bundle(card: Card) -> dict[str, str]:
    """The card in the forms that a notebook chooses from."""
    return {"text/plain": card_text(card), "text/html": card_html(card)}


# -- text --------------------------------------------------------------------------------------------------------------


def card_text(card: Card) -> str:
    """The card for terminals, and for what shows no HTML."""
    status = card.status
    lines = [f"Run {_title(status)}: {status.state}, {_jobs(status)}, {duration(status.seconds)}"]
    if status.message:
        lines.append(_plain(status.message))
    width = max((len(step.step) for step in status.steps[:_STEPS]), default=0)
    lines += [f"  {_plain(step.step):{width}}  {in_words(step)}" for step in status.steps[:_STEPS]]
    for failure in card.failures:
        lines.append(f"{_plain(_first(failure))} failed: {_plain(failure.reason)}")
        lines += [f"  | {_plain(line)}" for line in failure.stderr.splitlines()[-5:]]
    lines += [f"{code}  {words}" for code, words in _hints(card)]
    return "\n".join(lines)


def _plain(text: str) -> str:
    return "".join(sign if sign.isprintable() else f"\\x{ord(sign):02x}" for sign in text[:_TEXT])


# -- HTML --------------------------------------------------------------------------------------------------------------


def card_html(card: Card, *, buttons: bool = False) -> str:
    """The card as HTML, with styles that hold for it alone; where buttons cancel and resume, no code does."""
    status = card.status
    message = f'<p class="message">{escaped(status.message[:_TEXT])}</p>' if status.message else ""
    drawn = picture(card.outline, {step.step: step for step in status.steps}) if len(card.outline) > 1 else ""
    parts = (
        _head(card),
        _progress(status),
        message,
        f'<div class="scroll">{drawn}</div>' if drawn else "",
        _steps(status.steps),
        _sites(card.places) if card.backend != "local" else "",
        "".join(f'<div class="failure">{failure_html(failure)}</div>' for failure in card.failures),
        _next(card, buttons=buttons),
    )
    return f'<div class="gridcwl-run"><style>{style()}</style>{"".join(parts)}</div>'


@cache
def style() -> str:
    """The styles of all that gridcwl shows in a notebook."""
    return resources.files("gridcwl.runs.report").joinpath("card.css").read_text("utf-8")


def _title(status: RunStatus) -> str:
    return f"{status.run} ({status.name})" if status.name else status.run


def _jobs(status: RunStatus) -> str:
    failed = f", {status.failed:,} failed" if status.failed else ""
    return f"{status.done:,} of {status.shards:,} job{'' if status.shards == 1 else 's'} done{failed}"


def _head(card: Card) -> str:
    status = card.status
    state = escape(status.state)
    about = [str(status.document or "").rpartition("/")[2], _jobs(status), duration(status.seconds)]
    about.append(f"at {card.server}" if card.server else card.backend)
    return (
        f'<div class="head"><span class="badge {state}">{state}</span><b>{escaped(_title(status))}</b>'
        f'<span class="dim">{escaped(" · ".join(filter(None, about)))}</span></div>'
    )


def _progress(status: RunStatus) -> str:
    total = max(1, status.shards)
    running = sum(step.running for step in status.steps)
    numbers = (("done", status.done), ("failed", status.failed), ("running", running))
    bars = "".join(f'<i class="{kind}" style="width: {100 * number / total:.1f}%"></i>' for kind, number in numbers)
    return f'<div class="progress" role="img" aria-label="{escape(_jobs(status))}">{bars}</div>'


def _steps(steps: Sequence[StepCounts]) -> str:
    if not steps:
        return ""
    rows = "".join(
        f'<tr><td>{escaped(step.step)}</td><td class="state {state_of(step)}">{escape(in_words(step))}</td></tr>'
        for step in steps[:_STEPS]
    )
    more = f'<p class="dim">and {len(steps) - _STEPS:,} more steps</p>' if len(steps) > _STEPS else ""
    return f"<table><thead><tr><th>Step</th><th>Jobs</th></tr></thead><tbody>{rows}</tbody></table>{more}"


def _sites(places: Sequence[PlaceTally]) -> str:
    """Jobs by site, where there is a choice of sites."""
    named = [place for place in places if place.place]
    if not named:
        return ""
    rows = "".join(
        f"<tr><td>{escaped(place.place)}</td>"
        + "".join(f'<td class="n">{number:,}</td>' for number in (place.running, place.done, place.failed))
        + "</tr>"
        for place in named[:_SITES]
    )
    more = f'<p class="dim">and {len(named) - _SITES:,} more sites</p>' if len(named) > _SITES else ""
    head = '<th>Site</th><th class="n">Running</th><th class="n">Done</th><th class="n">Failed</th>'
    return f"<table><thead><tr>{head}</tr></thead><tbody>{rows}</tbody></table>{more}"


def _next(card: Card, *, buttons: bool) -> str:
    hints = _shell_hint(card) if buttons else _hints(card)
    items = "".join(f"<li><code>{escape(code)}</code> {escape(words)}</li>" for code, words in hints)
    return f"<ul>{items}</ul>" if items else ""


def _hints(card: Card) -> Iterator[tuple[str, str]]:
    """What can be done next: code, and what it does."""
    status = card.status
    run = status.run
    there = f" --server {card.server}" if card.server else ""
    if status.active:
        opened = "run" if card.server else f'gridcwl.open_run("{run}")'
        yield f"{opened}.cancel()", "stops it; finished jobs are kept."
        return
    if status.state in _RESUMABLE:
        yield from _shell_hint(card)
        resume = f"gridcwl resume {run}{there}" if card.server else f'gridcwl.resume("{run}")'
        yield resume, "resumes it when the cause is fixed; finished jobs do not run again."


def _shell_hint(card: Card) -> Iterator[tuple[str, str]]:
    if card.failures and not card.status.active and not card.server:
        yield f"gridcwl shell {card.status.run} '{_first(card.failures[0])}'", "opens the failed job with its inputs."


def _first(failure: FailureDetails) -> str:
    return failure.jobs[0][0] if failure.jobs else failure.step
