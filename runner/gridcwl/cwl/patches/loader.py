"""schema-salad's loader: links below ``run:`` checked once, limits to what is read, and HTTP and RDF only when needed.

Links in a process that is written out below ``run:`` are checked twice by schema-salad, as the value of a link and as a
part of the document, so that each level of nesting doubles the time. ``Loader`` makes a session for HTTP, which sends
the user's credentials, and a graph for RDF at once, and importing their libraries takes longer than reading most
documents. What aliases of YAML stand for is shared between the places that name it, and changed in all of them.

cwltool's ``--pack`` puts a reference in the place of an output that is called like an input.

To be dropped: the check of ``run:`` when ``Loader.validate_links`` no longer comes to it twice, the session and graph
when ``Loader`` makes them on demand, and that of ``--pack`` when ``import_embed`` looks at types and processes only.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from schema_salad.ref_resolver import Loader

from gridcwl import imports
from gridcwl.cwl.anchors import expand
from gridcwl.cwl.patches.upstream import Upstream
from gridcwl.cwl.reading import BoundedFetcher
from gridcwl.cwl.text_limits import check_text

UPSTREAM = (
    Upstream(
        "https://github.com/common-workflow-language/schema_salad/blob/8.10.20260825112551/src/schema_salad/ref_resolver.py#L144",
        "Loader.__init__",
        "000a16d5beaf915e",
    ),
    Upstream(
        "https://github.com/common-workflow-language/schema_salad/blob/8.10.20260825112551/src/schema_salad/ref_resolver.py#L1001",
        "Loader.fetch",
        "0bacf857db006356",
    ),
    Upstream(
        "https://github.com/common-workflow-language/schema_salad/blob/8.10.20260825112551/src/schema_salad/ref_resolver.py#L1062",
        "Loader.validate_link",
        "9ae3f543d863cbda",
    ),
    Upstream(
        "https://github.com/common-workflow-language/schema_salad/blob/8.10.20260825112551/src/schema_salad/ref_resolver.py#L1118",
        "Loader.validate_links",
        "19859210d9d8c1c5",
    ),
    Upstream(
        "https://github.com/common-workflow-language/schema_salad/blob/8.10.20260825112551/src/schema_salad/ref_resolver.py#L122",
        "SubLoader",
        "48166f1c71c87a37",
    ),
    Upstream(
        "https://github.com/common-workflow-language/cwltool/blob/3.3.20260925135507/cwltool/load_tool.py#L72",
        "default_loader",
        "f973ea2fdc6cee3d",
    ),
    Upstream(
        "https://github.com/common-workflow-language/cwltool/blob/3.3.20260925135507/cwltool/pack.py#L110",
        "pack",
        "df000c61ef432ae1",
    ),
    Upstream(
        "https://github.com/common-workflow-language/cwltool/blob/3.3.20260925135507/cwltool/pack.py#L81",
        "import_embed",
        "6eb11b0f0d358ef4",
    ),
)


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


class DocumentLoader(Loader):  # type: ignore[misc]
    """schema-salad's loader without its double check of ``run:``, with limits and with anonymous HTTP."""

    def __init__(self, *positional: Any, session: Any = None, **named: Any) -> None:
        """See ``Loader.__init__``; where it would make a session of its own, that is one without credentials."""
        named.setdefault("fetcher_constructor", BoundedFetcher)
        super().__init__(*positional, session=session or lazy_session(), **named)

    def fetch(self, url: str, inject_ids: bool = True, content_types: list[str] | None = None) -> Any:
        """See ``Loader.fetch``; what aliases stand for is expanded, see :mod:`gridcwl.cwl.anchors`."""
        known = url in self.idx
        if not known:
            text = self.fetch_text(url, content_types)
            if not url.startswith("file:"):
                self.cache[url] = text  # or it would be fetched again
            check_text(text, url)
        found = super().fetch(url, inject_ids, content_types)
        if not known:
            expand(found)
        return found

    def validate_link(self, field: str, link: Any, docid: str, all_doc_ids: dict[str, str]) -> Any:
        """See ``Loader.validate_link``."""
        if field == "run" and isinstance(link, dict):
            return link
        if field == "$schemas":  # what cannot be fetched of them was reported when they were added to the graph
            return link
        return super().validate_link(field, link, docid, all_doc_ids)


def loader(context: dict[str, Any], **fields: Any) -> DocumentLoader:
    """A ``Loader``; ``fields`` are those of its constructor."""
    return DocumentLoader(context, schemagraph=_Graph(), **fields)


def apply() -> None:
    """Have cwltool load documents with it."""
    from cwltool import load_tool

    load_tool.Loader = DocumentLoader


def apply_to_pack() -> None:
    """Have cwltool pack with the same loader as it reads with; importing ``cwltool.pack`` takes time."""
    from cwltool import pack

    pack.SubLoader = _sub_loader
    pack.import_embed = _refer_again


def _refer_again(written: Any, seen: set[str]) -> None:
    """``cwltool.pack.import_embed``: types and processes that are there twice are named the second time.

    Of other things with an id it leaves nothing: an output that is called like an input of its tool is no import of it.
    """
    if isinstance(written, list):
        for item in written:
            _refer_again(item, seen)
    elif isinstance(written, dict):
        for key in ("id", "name"):
            if isinstance(name := written.get(key), str) and (key == "name" or "class" in written):
                if name not in seen:
                    seen.add(name)
                    break
                written.clear()
                written["$import"] = name
        for key in sorted(written):
            _refer_again(written[key], seen)


def _sub_loader(loader: Loader) -> DocumentLoader:
    """``schema_salad.ref_resolver.SubLoader``: a loader of the same kind."""
    names = "foreign_properties idx cache fetcher_constructor skip_schemas url_fields allow_attachments session"
    fields = {name: getattr(loader, name) for name in (*names.split(), "salad_version")}
    return DocumentLoader(loader.ctx, schemagraph=loader.graph, **fields)
