"""Productions as people and programs see them: plain values, the same from this machine and from a service."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from gridcwl.productions.model import Portion, PortionState, Production, Progress, progress

MOST_FAILURES = 100


def summary(production: Production, portions: Sequence[Portion], *, stopped: bool) -> dict[str, Any]:
    """A production in a line."""
    standing = progress(production, portions)
    return {
        "name": production.name,
        "state": state_of(standing, portions, stopped=stopped),
        "complete": standing.complete,
        "stopped": stopped,
        "total": standing.total,
        "done": standing.done,
        "running": standing.running,
        "failed": standing.failed,
    }


def plain(
    production: Production, portions: Sequence[Portion], failures: Sequence[dict[str, str]], *, stopped: bool
) -> dict[str, Any]:
    """A production with its portions, and what failed."""
    return summary(production, portions, stopped=stopped) | {
        "input": production.input,
        "query": production.query,
        "seeds": production.counts,
        "failures": list(failures),
        "portions": [
            {
                "number": one.number, "run": one.run, "state": str(one.state), "items": len(one.items),
                "first": one.items[0], "last": one.items[-1], "tries": one.tries, "failed": one.failed,
                "message": one.message,
            }
            for one in portions
        ],
    }  # fmt: skip


def state_of(standing: Progress, portions: Sequence[Portion], *, stopped: bool) -> str:
    """How a production stands: complete, stopped, running, failed or open."""
    if standing.complete:
        return "complete"
    if stopped:
        return "stopped"
    if standing.running:
        return "running"
    over = all(one.state in (PortionState.SUCCESS, PortionState.FAILED, PortionState.STOPPED) for one in portions)
    return "failed" if over and standing.failed else "open"


def sentence(about: dict[str, Any]) -> str:
    """The progress, for people."""
    parts = [f"{about['done']} of {about['total']} done"]
    parts += [f"{about['running']} in active runs"] if about["running"] else []
    parts += [f"{about['failed']} failed"] if about["failed"] else []
    return ", ".join(parts)


def items_of(portion: dict[str, Any]) -> str:
    """What a portion works on, for people."""
    first, last = portion["first"], portion["last"]
    return f"{first}..{last}" if isinstance(first, int) else str(portion["items"])
