"""Where the Files and Directories may be that a tool or an expression gives: where its inputs are, and nowhere else.

A location is read later on, by the next job or when outputs are published, with the rights of whoever runs the
document. So a tool cannot have gridcwl fetch a URL by naming one in its outputs, and an expression that works on what a
tool reported cannot either. Locations that a person wrote, in the input object or as a default, are inputs.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any
from urllib.parse import unquote

from schema_salad.ref_resolver import file_uri

from gridcwl.errors import OutputError
from gridcwl.model.objects import entries
from gridcwl.model.paths import dotted, quoted
from gridcwl.worker.web import shown_url

_LITERAL = "_:"


class Origins:
    """The locations of a job's inputs: theirs, what is below their Directories, and files beside them of their name."""

    def __init__(self, *inputs: Any, beside: bool = True) -> None:
        """Looks at the inputs only when something is asked.

        Args:
            inputs: plain dicts and lists.
            beside: files beside an input, with its name and another extension, belong to it: what a document's own
                expressions may count on. A tool can only know its inputs.
        """
        self._inputs = inputs
        self._beside = beside
        self._known: set[str] | None = None
        self._below: tuple[str, ...] = ()
        self._roots: frozenset[str] = frozenset()

    def has(self, location: str) -> bool:
        """Whether this is the location of an input, or belongs to one."""
        if self._known is None:
            self._known, self._below, self._roots = _gathered(self._inputs)
        place = normal(location)
        if place in self._known:
            return True
        if dotted(unquote(place).split("/")):
            return False
        return place.startswith(self._below) or (self._beside and self._is_beside(place))

    def _is_beside(self, place: str) -> bool:
        folder, _, name = place.rpartition("/")
        return any(sign == "." and f"{folder}/{name[:at]}" in self._roots for at, sign in enumerate(name) if at)


def check(value: Any, origins: Origins, what: str) -> None:
    """See that a value names nothing but its inputs, and literals.

    Args:
        value: plain dicts and lists.
        origins: of what the value was made.
        what: the beginning of a sentence: "The expression of step x".

    Raises:
        OutputError: it names something else.
    """
    for location in locations(value):
        if not location.startswith(_LITERAL) and not origins.has(location):
            raise refused(location, what)


def refused(location: str, what: str) -> OutputError:
    """The error of a location that is nobody's input."""
    return OutputError(
        f"{what} names {quoted(shown_url(location))}, which is not one of its inputs",
        remedy="Only inputs can be passed on. Name the file in the input object, or as the default of an input.",
    )


def locations(value: Any) -> Iterator[str]:
    """The locations, or else the paths, of all Files and Directories in a value."""
    for entry in entries(value):
        where = entry.get("location") or entry.get("path")
        if isinstance(where, str):
            yield where


def normal(location: str) -> str:
    """A location as it is compared: a plain path as its URL."""
    return (file_uri(location) if location.startswith("/") else location).rstrip("/")


def is_remote(location: str) -> bool:
    """Whether this is on no disk of this machine."""
    return "://" in location and not location.startswith("file://")


def _gathered(values: Iterable[Any]) -> tuple[set[str], tuple[str, ...], frozenset[str]]:
    known: set[str] = set()
    below: set[str] = set()
    roots: set[str] = set()
    for value in values:
        for entry in entries(value):
            where = entry.get("location") or entry.get("path")
            if not isinstance(where, str) or where.startswith(_LITERAL):
                continue
            place = normal(where)
            known.add(place)
            if entry["class"] == "Directory":
                below.add(f"{place}/")
            else:  # a/b.bam lets a/b.bam.bai and a/b.bai be found, as secondary files are
                folder, _, name = place.rpartition("/")
                roots.add(f"{folder}/{name.rpartition('.')[0] or name}")
    return known, tuple(below), frozenset(roots)
