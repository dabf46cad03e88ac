"""Documents: read, resolved and validated by cwltool, then made into the engine's graph."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import urldefrag, urljoin

from cwltool.errors import WorkflowException
from schema_salad.exceptions import SchemaSaladException
from schema_salad.ref_resolver import uri_file_path
from schema_salad.utils import yaml_no_ts

from gridcwl.cwl.context import EvaluationOptions
from gridcwl.cwl.document_cache import Reading, cache_path, cached, fetcher, recording_warnings, store
from gridcwl.cwl.expressions import Lack, check_changes, check_expressions
from gridcwl.cwl.link_targets import names_of
from gridcwl.cwl.links import note_lacks
from gridcwl.cwl.problems import colons_in_names, problems
from gridcwl.cwl.schema_errors import Mistake, findings, message_of_mistakes
from gridcwl.cwl.sources import place as place_in
from gridcwl.cwl.sources import shown_path
from gridcwl.errors import DocumentError, InputError
from gridcwl.model import limits
from gridcwl.suggest import near_files

if TYPE_CHECKING:
    from cwltool.context import LoadingContext
    from cwltool.process import Process


_SECTIONS = ("inputs", "outputs", "steps", "requirements", "hints")


@dataclass(frozen=True, slots=True)
class Document:
    """A CWL document that has been read and validated.

    Attributes:
        uri: where it came from, with the fragment of the process in it.
        process: cwltool's object of the process that runs.
        files: the local files that it consists of.
        loading: cwltool's loading context, for packing and drawing; None where the document was kept from before.
        written: the document's file as it was read, resolved; None where the document was kept from before.
        lacks: what it uses without declaring it, though a workflow that runs it as a step may.
    """

    uri: str
    process: Process
    files: tuple[str, ...]
    loading: LoadingContext | None = None
    lacks: tuple[Lack, ...] = ()
    written: Any = None


def loading_context(options: EvaluationOptions, reading: Reading) -> LoadingContext:
    """cwltool's loading context that notes what it reads, with cwltool's own extensions to the schema switched on."""
    from cwltool.context import LoadingContext
    from cwltool.load_tool import docloaderctx
    from cwltool.resolver import tool_resolver

    from gridcwl.cwl.patches.loader import lazy_session, loader
    from gridcwl.cwl.patches.schema_cache import use_extensions
    from gridcwl.cwl.patches.shared_processes import share_processes
    from gridcwl.cwl.tool import make_process

    use_extensions()
    context = LoadingContext()
    share_processes(context)
    context.fetcher_constructor = fetcher(reading)
    context.loader = loader(
        docloaderctx,
        session=lazy_session(cached=options.document_cache),
        fetcher_constructor=context.fetcher_constructor,
        allow_attachments=lambda _: options.enable_dev,
    )
    context.construct_tool_object = make_process
    context.resolver = tool_resolver
    context.strict = options.strict
    context.do_validate = options.validate
    # jshint's advice, a process for each tool; see expressions.py
    context.disable_js_validation = options.js_hints is None or not options.js_validation
    context.js_hint_options_file = options.js_hints
    context.enable_dev = options.enable_dev
    context.relax_path_checks = True  # arguments go to the tool without a shell in between: any name is safe
    context.skip_schemas = options.skip_schemas
    context.debug = options.debug
    context.eval_timeout = options.eval_timeout_s
    return context


def locate(name: str, registries: Sequence[str] | None = None) -> tuple[str, str]:
    """The URI of a document as the user named it, with and without its fragment.

    Args:
        name: a path, a URL, or the name of a tool in a registry.
        registries: GA4GH tool registries to look into; None is cwltool's own choice.

    Raises:
        DocumentError: there is no such file.
    """
    from cwltool.load_tool import docloaderctx, resolve_tool_uri
    from cwltool.resolver import ga4gh_tool_registries, tool_resolver

    from gridcwl.cwl.patches.loader import loader

    if registries is not None:
        ga4gh_tool_registries[:] = registries  # cwltool's main changes the same list
    remedy = near_files(name) if not Path(name).exists() else ""
    with problems(DocumentError, f"Cannot read {name}", remedy=remedy or "Check the path of the document."):
        uri, file_uri = resolve_tool_uri(name, resolver=tool_resolver, document_loader=loader(docloaderctx))
        return uri, file_uri


def processes_of(name: str) -> tuple[str, ...]:
    """The processes of a ``$graph`` without a main one, each as a document's name; nothing of any other document."""
    path = Path(name)
    if "#" in name or not path.is_file() or path.stat().st_size > limits.TEXT_BYTES:
        return ()
    if b"$graph" not in path.read_bytes():
        return ()
    with problems(DocumentError, f"The document {name} is not valid"), path.open(encoding="utf-8") as text:
        written = yaml_no_ts().load(text)
    graph = written.get("$graph") if isinstance(written, dict) else None
    if not isinstance(graph, list):
        return ()
    names = [str(one.get("id", "")).removeprefix("#") for one in graph if isinstance(one, dict)]
    return () if "main" in names or not all(names) else tuple(f"{name}#{one}" for one in names)


def load(
    uri: str,
    options: EvaluationOptions,
    *,
    overrides: list[Any] | None = None,
    run_requirements: list[Any] | None = None,
) -> Document:
    """Read, resolve, update and validate a document, or take what was kept of it when that was done before.

    Args:
        uri: as :func:`locate` gives it.
        options: how to load.
        overrides: resolved ``cwltool:overrides``.
        run_requirements: the input object's ``cwl:requirements``, which go before those of the document.

    Raises:
        DocumentError: it cannot be read or is not valid.
        UnsupportedError: it asks for a requirement that is not supported.
    """
    where = cache_path(uri, options, [overrides or [], run_requirements or []])
    known = cached(where)
    if known is not None:
        process, reading = known
        return Document(uri, process, reading.files, lacks=reading.lacks)
    document, reading = _read(uri, options, overrides or [], run_requirements or [])
    store(where, document.process, reading)
    return document


def read_document(uri: str, options: EvaluationOptions, *, preprocess_only: bool = False) -> Document:
    """Read a document from its files, with the ``loading`` that packing and drawing need.

    Args:
        uri: as :func:`locate` gives it.
        options: how to load.
        preprocess_only: stop before validation and construction, as ``--pack`` needs it; ``process`` is then None.

    Raises:
        DocumentError, UnsupportedError: as :func:`load`.
    """
    return _read(uri, options, [], [], preprocess_only=preprocess_only, update=not preprocess_only)[0]


def read_with(
    uri: str,
    options: EvaluationOptions,
    overrides: list[Any],
    requirements: list[Any],
    *,
    preprocess_only: bool = False,
    update: bool = True,
) -> Document:
    """As :func:`read_document`, with the changes that :func:`load` takes; ``update``: to the newest version of CWL."""
    return _read(uri, options, overrides, requirements, preprocess_only=preprocess_only, update=update)[0]


def _read(
    uri: str,
    options: EvaluationOptions,
    overrides: list[Any],
    requirements: list[Any],
    *,
    preprocess_only: bool = False,
    update: bool = True,
) -> tuple[Document, Reading]:
    from cwltool.load_tool import fetch_document, make_tool, resolve_and_validate_document

    from gridcwl.cwl.patches.schema_cache import load_schema

    reading = Reading()
    folder = Path(shown_uri(uri).partition("#")[0]).parent
    what = f"The document {shown_uri(uri)} is not valid"
    with problems(DocumentError, what), colons_in_names(folder), recording_warnings(reading):
        context = loading_context(options, reading)
        context.overrides_list.extend(overrides)
        context.do_update = update
        context, workflow_object, uri = fetch_document(uri, context)
        if not isinstance(workflow_object, dict):
            raise DocumentError(
                f"The document {shown_uri(uri)} is not valid: it is not a mapping",
                remedy="A CWL document begins with cwlVersion and class.",
            )
        _check_sections(workflow_object, uri)
        load_schema(workflow_object.get("cwlVersion"))
        process = None
        lacks = note_lacks(context)
        with _explained(uri, workflow_object):
            context, uri = resolve_and_validate_document(context, workflow_object, uri, preprocess_only=preprocess_only)
            if not preprocess_only:
                if requirements:
                    context.requirements = list(requirements)
                process = make_tool(uri, context)
        if process is not None:
            process.requirements.extend(requirements)
            broken: tuple[Lack, ...] = ()
            if options.js_validation:
                broken = (*_check_changes(process, overrides, requirements), *_check_expressions(process, uri))
            reading.lacks = tuple(dict.fromkeys((*lacks, *broken)))
        return Document(uri, process, reading.files, context, reading.lacks, workflow_object), reading


def _check_sections(document: Any, uri: str) -> None:
    """Refuse a section that is a text or number: schema-salad stumbles over it. A colon was forgotten, most often."""
    graph = document.get("$graph")
    for process in graph if isinstance(graph, list) else [document]:
        for section in _SECTIONS:
            value = process.get(section) if isinstance(process, dict) else None
            if value is not None and not isinstance(value, dict | list):
                raise DocumentError(
                    f"The document {shown_uri(uri)} is not valid: {place_in(process, section)} "
                    f"{section} is '{value}'; it has to be a list or a map",
                    remedy=f"Write '{section}: []' if there are none; is a ':' missing?",
                )


@contextmanager
def _explained(uri: str, document: Any) -> Iterator[None]:
    """Say what is wrong with the document's shape: one sentence for each mistake."""
    try:
        yield
    except (SchemaSaladException, WorkflowException) as error:
        cause: BaseException = error
        while isinstance(cause.__cause__, SchemaSaladException | WorkflowException):
            cause = cause.__cause__  # cwltool wraps what is wrong with a step's tool into a text
        found = findings(cause, names_of(document)) if isinstance(cause, SchemaSaladException) else None
        if found is None:
            found = list(_missing_imports(document, uri))
        if not found:
            raise
        message, remedy = message_of_mistakes(found)
        raise DocumentError(f"The document {shown_uri(uri)} is not valid: {message}", remedy=remedy) from error


def _missing_imports(value: Any, uri: str) -> Iterator[Mistake]:
    """Files of this machine that a document wants to have in it, and which are not there."""
    if isinstance(value, list):
        for item in value:
            yield from _missing_imports(item, uri)
    elif isinstance(value, dict):
        for key, item in value.items():
            if key in ("$import", "$include", "$mixin") and isinstance(item, str):
                target = urljoin(uri, item)
                if target.startswith("file://") and not Path(uri_file_path(urldefrag(target).url)).exists():
                    remedy = f"Check the path behind {key}; it counts from the document's folder."
                    yield Mistake(place_in(value, key), f"{item} does not exist", remedy)
            else:
                yield from _missing_imports(item, uri)


def _check_expressions(process: Process, uri: str) -> tuple[Lack, ...]:
    try:
        return check_expressions(process)
    except DocumentError as error:
        raise DocumentError(
            f"The document {shown_uri(uri)} is not valid: {error.message}", remedy=error.remedy
        ) from error


def _check_changes(process: Process, overrides: list[Any], requirements: list[Any]) -> tuple[Lack, ...]:
    if not overrides and not requirements:
        return ()
    try:
        return check_changes(process, overrides, requirements)
    except DocumentError as error:
        what = "overrides" if overrides else "requirements in the input object"
        message = re.sub(r"^it has(?= \d)", "they have", error.message)
        raise InputError(f"The {what} are not valid: {message}", remedy=error.remedy) from error


def shown_uri(uri: str) -> str:
    """A document's URI as people write it."""
    return shown_path(uri)
