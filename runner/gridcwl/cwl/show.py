"""What can be shown of a document without running it: packed, drawn, resolved."""

from __future__ import annotations

import argparse
import io
from contextlib import suppress
from typing import TYPE_CHECKING, Any

from cwltool.load_tool import jobloaderctx
from ruamel.yaml.comments import CommentedMap
from schema_salad.ref_resolver import file_uri
from schema_salad.utils import json_dumps

from gridcwl import imports
from gridcwl.cwl.inputs import with_options
from gridcwl.cwl.no_javascript import processes
from gridcwl.cwl.patches.loader import loader
from gridcwl.cwl.problems import problems
from gridcwl.cwl.sources import shown_path
from gridcwl.errors import ConfigError, DocumentError, InputError

if TYPE_CHECKING:
    from gridcwl.cwl.load import Document
    from gridcwl.cwl.session import CwlSession


def packed(document: Document) -> str:
    """The document and all that it refers to as one JSON text (``--pack``); it must be read with preprocess_only.

    Raises:
        DocumentError: a part of it cannot be read.
    """
    from cwltool.main import print_pack

    from gridcwl.cwl.patches.loader import apply_to_pack

    apply_to_pack()
    with problems(DocumentError, f"Cannot pack {document.uri}"):
        return str(print_pack(document.loading, document.uri))


def drawn(document: Document) -> str:
    """The workflow as a Graphviz graph (``--print-dot``).

    Raises:
        DocumentError: cwltool cannot draw it.
    """
    from cwltool.cwlrdf import gather
    from cwltool.cwlviewer import CWLViewer

    with imports.one_at_a_time():
        from rdflib import RDF
        from rdflib.term import URIRef

    class Viewer(CWLViewer):  # type: ignore[misc]
        def _get_root_graph_uri(self) -> URIRef:
            """The document; cwltool takes a workflow that no step runs by this very URI, and finds several."""
            return URIRef(document.process.tool["id"])

    assert document.loading is not None
    with problems(DocumentError, f"Cannot draw {shown_path(document.uri)}"):
        if not getattr(document.process, "steps", None):
            raise DocumentError(
                f"Cannot draw {shown_path(document.uri)}: it has no steps",
                remedy="Only workflows with steps can be drawn.",
            )
        triples = gather(document.process, document.loading.loader.ctx)
        for step in (step for process in processes(document.process) for step in getattr(process, "steps", ())):
            if isinstance(step.tool["run"], str):  # a file, whose process may have an id of its own
                kind = URIRef(f"https://w3id.org/cwl/cwl#{step.embedded_tool.tool['class']}")
                triples.add((URIRef(step.tool["run"]), RDF.type, kind))
        viewer = Viewer(triples.serialize(format="n3"))
    return str(viewer.dot()).replace(f"{document.process.metadata['id']}#", "")


def versions(*, development: bool) -> str:
    """The versions of CWL, one a line (``--print-supported-versions``)."""
    from cwltool.main import supported_cwl_versions

    return "\n".join(supported_cwl_versions(development)) + "\n"


def dependencies(document: Document, relative: str) -> str:
    """The files that the document consists of, as a File in JSON (``--print-deps``).

    Args:
        document: read with preprocess_only.
        relative: where paths count from: ``primary``, the document, or ``cwd``.

    Raises:
        DocumentError: one of them cannot be read.
    """
    from cwltool.main import printdeps

    text = io.StringIO()
    assert document.loading is not None
    with problems(DocumentError, f"Cannot find what {document.uri} consists of"):
        printdeps(document.written, document.loading.loader, text, relative, document.uri)
    return text.getvalue()


def input_dependencies(session: CwlSession, relative: str) -> str:
    """The files of the input object, with their secondary files, as a File in JSON (``--print-input-deps``).

    Raises:
        InputError: one of them is not there.
    """
    from cwltool.context import RuntimeContext
    from cwltool.load_tool import jobloader_id_name
    from cwltool.main import init_job_order

    written = session.written
    values = with_options(CommentedMap() if written.values is None else written.values, written)
    values.setdefault(jobloader_id_name, session.program)
    _each_place(values)
    given = argparse.Namespace(workflow=session.program, job_order=[], tool_help=False)
    text = io.StringIO()
    with problems(InputError, "The input object is not valid"), suppress(SystemExit):
        init_job_order(
            values,
            given,
            session.document.process,
            loader(jobloaderctx.copy()),
            text,
            print_input_deps=True,
            relative_deps=relative,
            input_basedir=written.base,
            runtime_context=RuntimeContext(),
        )
    return text.getvalue()


def _each_place(value: Any) -> None:
    """Paths as the URIs that schema-salad would have made of them."""
    for item in value if isinstance(value, list) else value.values() if isinstance(value, dict) else ():
        _each_place(item)
    if isinstance(value, dict) and value.get("class") in ("File", "Directory"):
        path = str(value.get("path") or "")
        if path.startswith("/"):
            value["path"] = file_uri(path)


def preprocessed(document: Document) -> str:
    """The document with its references resolved, as JSON (``--print-pre``); it must be read with preprocess_only."""
    assert document.loading is not None
    process, _ = document.loading.loader.resolve_ref(document.uri)
    return _json(process)


def rdf(document: Document, serializer: str) -> str:
    """The document as RDF (``--print-rdf``).

    Raises:
        ConfigError: there is no such serializer.
        DocumentError: cwltool cannot do it.
    """
    from cwltool.cwlrdf import printrdf

    with imports.one_at_a_time():
        from rdflib.plugin import PluginException

    assert document.loading is not None
    try:
        with problems(DocumentError, f"Cannot print {document.uri} as RDF"):
            return str(printrdf(document.process, document.loading.loader.ctx, serializer)) + "\n"
    except PluginException:
        raise ConfigError(
            f"--rdf-serializer {serializer}: there is no such format", remedy="Take turtle, n3, nt or xml."
        ) from None


def targets(document: Document) -> str:
    """What ``--target`` can name, one a line (``--print-targets``)."""
    from cwltool.main import print_targets

    text = io.StringIO()
    with problems(DocumentError, f"Cannot list the targets of {document.uri}"):
        print_targets(document.process, text, document.loading)
    return text.getvalue()


def subgraph(document: Document) -> str:
    """A part of a workflow as JSON (``--print-subgraph``)."""
    tool = document.process.tool
    tool.pop("name", None)
    return _json(tool)


def _json(value: Any) -> str:
    return str(json_dumps(value, indent=4, sort_keys=True, separators=(",", ": "), default=str))
