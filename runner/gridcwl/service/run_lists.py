"""Queries for lists of runs, so that what they read depends on what a viewer sees and not on all runs that there are.

A condition such as "the viewer's, or of one of the viewer's groups" uses no index. So each of these, and each state, is
a query of its own that an index has in the order of the list; the latest of their results are the latest of all.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from functools import partial
from typing import TYPE_CHECKING, Any

from sqlalchemy import ColumnElement, Select, Text, and_, cast, exists, func, or_, select, union

from gridcwl.service.schema import run_groups, runs
from gridcwl.service.states import State

if TYPE_CHECKING:
    from gridcwl.service.db import Viewer

_MOST_GROUPS = 50
"""That have queries of their own: databases limit what one query is made of."""


def visible(query: Select[Any], viewer: Viewer | None) -> Select[Any]:
    """A query for runs, with those only that the viewer sees; no viewer is the service itself."""
    if viewer is None or viewer.sees_all:
        return query
    own = runs.c.owner == viewer.subject
    if not viewer.groups:
        return query.where(own)
    theirs = exists().where(run_groups.c.number == runs.c.number, run_groups.c.name.in_(sorted(viewer.groups)))
    return query.where(or_(own, theirs))


def latest(
    viewer: Viewer,
    size: int,
    kind: str,
    *,
    before: int | None = None,
    states: Sequence[State] = (),
    wanted: Sequence[ColumnElement[bool]] = (),
) -> Select[Any]:
    """The query for the latest runs that a viewer sees, the latest first.

    Args:
        viewer: who sees them.
        size: the most.
        kind: of runs.
        before: only smaller numbers; None for any.
        states: only in these; empty for any.
        wanted: further conditions.
    """
    conditions = (runs.c.kind == kind, *wanted)
    in_order = partial(_in_order, before, size)
    whose = [] if viewer.sees_all else [runs.c.owner == viewer.subject]
    in_state = [[runs.c.state == state] for state in dict.fromkeys(states)] or [[]]
    own = [and_(*conditions, *whose, *one) for one in in_state]
    if len(own) == 1 and (viewer.sees_all or not viewer.groups):
        return in_order(select(runs).where(own[0]), runs.c.number)
    parts = [in_order(select(runs.c.number).where(one), runs.c.number) for one in own]
    if not viewer.sees_all:
        of_states = [runs.c.state.in_(states)] if states else []
        fits = exists().where(runs.c.number == run_groups.c.number, *conditions, *of_states)
        for names in _parts_of(sorted(viewer.groups)):
            theirs = select(run_groups.c.number).distinct().where(run_groups.c.name.in_(names), fits)
            parts.append(in_order(theirs, run_groups.c.number))
    numbers = union(*(select(part.subquery().c.number) for part in parts))
    return in_order(select(runs).where(runs.c.number.in_(numbers)), runs.c.number)


def _parts_of(groups: list[str]) -> list[list[str]]:
    return [[group] for group in groups] if len(groups) <= _MOST_GROUPS else [groups]


def _in_order(before: int | None, size: int, query: Select[Any], number: ColumnElement[int]) -> Select[Any]:
    query = query if before is None else query.where(number < before)
    return query.order_by(number.desc()).limit(size)


def counted(viewer: Viewer, kind: str) -> list[Select[Any]]:
    """Queries for how many runs of a viewer are in each state; no run is in the results of two of them."""
    query = select(runs.c.state, func.count()).where(runs.c.kind == kind).group_by(runs.c.state)
    if viewer.sees_all:
        return [query]
    own = query.where(runs.c.state.in_(list(State)), runs.c.owner == viewer.subject)  # as the index has them
    if not viewer.groups:
        return [own]
    shared = select(run_groups.c.number).distinct().where(run_groups.c.name.in_(sorted(viewer.groups))).subquery()
    others = (runs.c.number == shared.c.number, runs.c.kind == kind, runs.c.owner != viewer.subject)
    states = select(select(runs.c.state).where(*others).scalar_subquery().label("state")).select_from(shared).subquery()
    theirs = select(states.c.state, func.count()).where(states.c.state.is_not(None)).group_by(states.c.state)
    return [own, theirs]


def matching(search: str) -> list[ColumnElement[bool]]:
    """Conditions: each word of a text is in a run's id, document, owner or tags."""
    conditions = []
    for word in search.split():
        texts = (runs.c.id, runs.c.owner, runs.c.request["workflow_url"].as_string(), runs.c.tags["name"].as_string())
        found = [text.icontains(word, autoescape=True) for text in texts]
        written = json.dumps(word)[1:-1]  # as it stands in a column of JSON
        conditions.append(or_(*found, cast(runs.c.tags, Text).icontains(written, autoescape=True)))
    return conditions
