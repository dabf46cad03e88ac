"""schema-salad's loaders, without a session for HTTP and a graph for RDF until one is needed.

``Loader`` makes both at once, and importing their libraries takes longer than reading most documents.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from gridcwl import imports
from gridcwl.cwl.once import OnceLoader


class _Later:
    """Stands for an object until somebody wants something of it."""

    def __init__(self) -> None:
        self._made: Any = None

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):
            raise AttributeError(name)
        return getattr(self._real(), name)

    def _real(self) -> Any:
        if self._made is None:
            self._made = self._make()
        return self._made

    def _make(self) -> Any:
        raise NotImplementedError


class _Session(_Later):
    """The session that ``Loader.__init__`` would make."""

    def __init__(self, *, cached: bool) -> None:
        super().__init__()
        self._cached = cached

    def _make(self) -> Any:
        with imports.one_at_a_time():
            from cachecontrol.caches import SeparateBodyFileCache
            from cachecontrol.wrapper import CacheControl

            from gridcwl.cwl.anonymous import AnonymousSession

        session = AnonymousSession()
        if not self._cached:
            return session
        return CacheControl(session, cache=SeparateBodyFileCache(Path.home() / ".cache" / "salad"))


class _Graph(_Later):
    """An empty graph."""

    def _make(self) -> Any:
        with imports.one_at_a_time():
            from rdflib.graph import Graph

        return Graph()

    def __iadd__(self, other: Any) -> Any:
        graph = self._real()
        graph += other
        return graph


def lazy_session(*, cached: bool = True) -> Any:
    """A session without credentials, which is made when it is first used; ``cached`` keeps on disk what comes."""
    return _Session(cached=cached)


def loader(context: dict[str, Any], **fields: Any) -> OnceLoader:
    """A ``Loader``; ``fields`` are those of its constructor."""
    return OnceLoader(context, schemagraph=_Graph(), **fields)
