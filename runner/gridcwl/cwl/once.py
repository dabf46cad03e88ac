"""What cwltool and schema-salad do again and again for one document or one job, done once.

Three things make large documents and jobs slow, or impossible. Links in a process that is written out below ``run:``
are checked twice, as the value of a link and as a part of the document, so that each level of nesting doubles the time.
A file that a thousand steps run is resolved, validated and made into a tool a thousand times. And for each File of an
array on a command line the whole array is copied.
"""

from __future__ import annotations

import copy
import json
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

from schema_salad.ref_resolver import Loader

from gridcwl.cwl.anchors import expand
from gridcwl.cwl.text_limits import check_text

if TYPE_CHECKING:
    from cwltool.context import LoadingContext
    from cwltool.process import Process

_KNOWN = "gridcwl_processes"


class OnceLoader(Loader):  # type: ignore[misc]
    """schema-salad's, but for what is below ``run:``: ``validate_links`` comes to it in any case; and for aliases."""

    def __init__(self, *positional: Any, session: Any = None, **named: Any) -> None:
        """See ``Loader.__init__``; where it would make a session of its own, that is one without credentials."""
        from gridcwl.cwl.loaders import lazy_session

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


def use_once() -> None:
    """Have cwltool load so, in this process."""
    from cwltool import load_tool, workflow

    load_tool.Loader = OnceLoader
    workflow.load_tool = load_process


def pack_once() -> None:
    """Have cwltool pack with the same loader as it reads with, in this process."""
    from cwltool import pack

    pack.SubLoader = _beside


def _beside(loader: Loader) -> OnceLoader:
    """``schema_salad.ref_resolver.SubLoader``: a loader of the same kind."""
    names = "foreign_properties idx cache fetcher_constructor skip_schemas url_fields allow_attachments session"
    fields = {name: getattr(loader, name) for name in (*names.split(), "salad_version")}
    return OnceLoader(loader.ctx, schemagraph=loader.graph, **fields)


def bind_once() -> None:
    """Have cwltool bind arrays to command lines so, in this process."""
    from cwltool import builder

    builder.copy = SimpleNamespace(copy=copy.copy, deepcopy=_copied)


def _copied(value: Any) -> Any:
    """A deep copy; of a binding without its datum, which ``Builder.bind_input`` replaces in each copy that it makes."""
    if not isinstance(value, dict) or "datum" not in value:
        return copy.deepcopy(value)
    return copy.deepcopy(type(value)((name, part) for name, part in value.items() if name != "datum"))


def share_processes(context: LoadingContext) -> None:
    """Let steps that run the same file share its process, if nothing that they inherit differs."""
    setattr(context, _KNOWN, {})  # one for all copies that cwltool makes of the context


def load_process(name: Any, context: LoadingContext | None = None) -> Process:
    """``cwltool.load_tool.load_tool``, once for each process of a document that inherits the same."""
    from cwltool.load_tool import load_tool

    known: dict[Any, Process] | None = getattr(context, _KNOWN, None)
    if known is None or context is None or not isinstance(name, str):
        return load_tool(name, context)
    inherited = [context.requirements, context.hints, context.overrides_list]
    key = name, json.dumps(inherited, default=repr, sort_keys=True)
    process = known.get(key)
    if process is None:
        process = known[key] = load_tool(name, context)
    return process
