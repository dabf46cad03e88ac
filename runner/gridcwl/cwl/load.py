"""Documents: read, resolved and validated by cwltool, then made into the engine's graph."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from gridcwl.cwl.context import EvaluationOptions
from gridcwl.cwl.problems import problems
from gridcwl.errors import DocumentError

if TYPE_CHECKING:
    from cwltool.context import LoadingContext
    from cwltool.process import Process


@dataclass(frozen=True, slots=True)
class Document:
    """A CWL document that has been read and validated.

    Attributes:
        uri: where it came from, with the fragment of the process in it.
        process: cwltool's object of the process that runs.
        loading: cwltool's loading context, for packing and drawing.
    """

    uri: str
    process: Process
    loading: LoadingContext


def loading_context(options: EvaluationOptions) -> LoadingContext:
    """cwltool's loading context, with cwltool's own extensions to the schema switched on."""
    from cwltool.context import LoadingContext
    from cwltool.load_tool import default_loader
    from cwltool.resolver import tool_resolver

    from gridcwl.cwl.schemas import use_extensions
    from gridcwl.cwl.tool import make_process

    use_extensions()
    context = LoadingContext()
    context.loader = default_loader(None, enable_dev=options.enable_dev)
    context.construct_tool_object = make_process
    context.resolver = tool_resolver
    context.strict = options.strict
    context.do_validate = options.validate
    context.disable_js_validation = True  # it needs node and a jshint run for every document, and is only advice
    context.enable_dev = options.enable_dev
    context.relax_path_checks = True  # arguments go to the tool without a shell in between: any name is safe
    context.skip_schemas = options.skip_schemas
    context.debug = options.debug
    context.eval_timeout = options.eval_timeout_s
    return context


def locate(name: str) -> tuple[str, str]:
    """The URI of a document as the user named it, with and without its fragment.

    Raises:
        DocumentError: there is no such file.
    """
    from cwltool.load_tool import resolve_tool_uri
    from cwltool.resolver import tool_resolver

    with problems(DocumentError, f"Cannot read {name}", remedy="Check the path of the document."):
        uri, file_uri = resolve_tool_uri(name, resolver=tool_resolver)
        return uri, file_uri


def load(
    uri: str,
    options: EvaluationOptions,
    *,
    overrides: list[Any] | None = None,
    run_requirements: list[Any] | None = None,
    preprocess_only: bool = False,
) -> Document:
    """Read, resolve, update and validate a document.

    Args:
        uri: as :func:`locate` gives it.
        options: how to load.
        overrides: resolved ``cwltool:overrides``.
        run_requirements: the input object's ``cwl:requirements``, which go before those of the document.
        preprocess_only: stop before validation and construction, as ``--pack`` needs it; ``process`` is then None.

    Raises:
        DocumentError: it cannot be read or is not valid.
        UnsupportedError: it asks for a requirement that is not supported.
    """
    from cwltool.load_tool import fetch_document, make_tool, resolve_and_validate_document

    from gridcwl.cwl.schemas import load_schema

    with problems(DocumentError, f"The document {shown(uri)} is not valid"):
        context = loading_context(options)
        context.overrides_list.extend(overrides or [])
        context.do_update = not preprocess_only
        context, workflow_object, uri = fetch_document(uri, context)
        if not isinstance(workflow_object, dict):
            raise DocumentError(
                f"The document {shown(uri)} is not valid: it is not a mapping",
                remedy="A CWL document begins with cwlVersion and class.",
            )
        load_schema(workflow_object.get("cwlVersion"))
        context, uri = resolve_and_validate_document(context, workflow_object, uri, preprocess_only=preprocess_only)
        if preprocess_only:
            return Document(uri, None, context)
        if run_requirements:
            context.requirements = list(run_requirements)
        process = make_tool(uri, context)
        process.requirements.extend(run_requirements or [])
        return Document(uri, process, context)


def shown(uri: str) -> str:
    """A document's URI as people write it."""
    return uri.removeprefix("file://")
