"""A lineage as text: a tree for people, a graph for Graphviz."""

from __future__ import annotations

import json
from collections.abc import Iterator
from urllib.parse import unquote

from gridcwl.runs.provenance.lineage import Activity, DataFile, Lineage


def tree(lineage: Lineage, most: int = 10) -> Iterator[str]:
    """The lineage as lines of text; of more than ``most`` inputs the first are shown."""
    shown: set[str] = set()
    stack: list[tuple[str, str, str]] = [("", "", lineage.target)]
    while stack:
        first, rest, id_ = stack.pop()
        if id_.startswith("... "):
            yield first + id_
            continue
        file = lineage.files.get(id_) or DataFile(id_, id_)
        yield first + _file_line(file)
        activity = lineage.activities.get(file.made_by)
        if activity is None:
            continue
        again = "  (see above)" if activity.id in shown else ""
        yield f"{rest}└─ {_activity_line(activity)}{again}"
        if again:
            continue
        shown.add(activity.id)
        inputs = list(dict.fromkeys(id_ for _, id_ in activity.inputs))
        more = len(inputs) - most if len(inputs) > most + 1 else 0
        words = inputs[: most if more else None]
        if more or activity.unlisted:
            words.append(f"... and {more + activity.unlisted} more")
        for number, word in reversed(list(enumerate(words))):
            last = number == len(words) - 1
            stack.append((f"{rest}   {'└─' if last else '├─'} ", f"{rest}   {'  ' if last else '│ '} ", word))


def _file_line(file: DataFile) -> str:
    place = file.location
    about = [unquote(place[7:]) if place.startswith("file://") else place or f"{file.name} (not kept)"]
    if file.size is not None:
        about.append(f"{file.size} bytes")
    if file.checksum:
        about.append(file.checksum.replace("$", ":"))
    if not file.made_by and file.account:
        about.append(f"by {file.account}")
    return "  ".join(about)


def _activity_line(activity: Activity) -> str:
    parts = [activity.name, f"run {activity.run}"]
    if activity.document:
        parts.append(activity.document)
    if activity.account:
        parts.append(f"by {activity.account}")
    if activity.ended:
        parts.append(activity.ended[:19].replace("T", " "))
    if activity.reused:
        parts.append(f"result of {activity.reused}")
    if activity.site:
        parts.append(f"at {activity.site}")
    if activity.digest or activity.image:
        parts.append(f"image {activity.digest or activity.image}")
    return ", ".join(parts)


def dot(lineage: Lineage) -> Iterator[str]:
    """The lineage for Graphviz, in lines."""
    yield "digraph lineage {"
    yield "  rankdir=LR; node [fontname=sans, fontsize=10];"
    for file in lineage.files.values():
        wide = ", penwidth=2" if file.id == lineage.target else ""
        yield f"  {_quoted(file.id)} [label={_quoted(file.name)}, shape=ellipse{wide}];"
    for one in lineage.activities.values():
        label = "\n".join(filter(None, (one.name, one.run, one.account)))
        yield f"  {_quoted(one.id)} [label={_quoted(label)}, shape=box, style=filled, fillcolor=lightgrey];"
        for name, id_ in one.inputs:
            yield f"  {_quoted(id_)} -> {_quoted(one.id)} [label={_quoted(name)}];"
    for file in lineage.files.values():
        if file.made_by:
            yield f"  {_quoted(file.made_by)} -> {_quoted(file.id)};"
    yield "}"


def _quoted(text: str) -> str:
    return json.dumps(text, ensure_ascii=False)
