"""All of cwltool that a run holds on to: one document, its graph, the context and the secrets."""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from cwltool.secrets import SecretStore

from gridcwl.cwl import inputs as cwl_inputs
from gridcwl.cwl.context import EvaluationOptions, JobContext, job_context
from gridcwl.cwl.graph import build
from gridcwl.cwl.input_options import InputOptions, not_true_or_false, options_of
from gridcwl.cwl.javascript import allow_javascript
from gridcwl.cwl.load import Document, load, locate, shown_uri
from gridcwl.cwl.loading import Loading
from gridcwl.cwl.no_javascript import processes, refuse_javascript
from gridcwl.cwl.option_values import absolute
from gridcwl.cwl.problems import route_logging
from gridcwl.cwl.remote import Remote
from gridcwl.cwl.run_requirements import check_age, check_overrides, check_run_requirements
from gridcwl.cwl.selection import Selection
from gridcwl.cwl.software import check_software
from gridcwl.errors import DocumentError, GridCWLError

if TYPE_CHECKING:
    from gridcwl.engine.graph import Leaf, Workflow
    from gridcwl.stores.base import RemoteFiles

log = logging.getLogger("gridcwl.cwl")

_SHORTEST_SECRET = 3
"""To cross out every ``1`` because a secret is ``1`` would make the rest unreadable."""


@dataclass(slots=True)
class CwlSession:
    """A document that is ready to run."""

    document: Document
    graph: Workflow | Leaf
    context: JobContext
    secrets: SecretStore
    written: cwl_inputs.WrittenInputs
    program: str
    """The document as the user wrote it."""

    def inputs(self) -> dict[str, Any]:
        """The whole input object; asked for once. Raises as ``gridcwl.cwl.inputs.complete``."""
        remote = self.context.remote
        whole = cwl_inputs.complete(self.document.process, self.written, self.secrets, remote, use_up=True)
        self.written.values = None  # a hundred thousand Files need not be held twice
        return whole

    def reach(self, files: RemoteFiles) -> None:
        """From now on files may be where these know them."""
        self.context.reach(Remote(files))

    def replace_defaults(self, replaced: Callable[[Any], Any]) -> None:
        """Put other values in place of those that the document itself gives: defaults, and listings of files.

        Args:
            replaced: gives the value to use; the same one where nothing is to change.
        """
        changed = False
        for process in processes(self.document.process):
            steps = [parameter for step in getattr(process, "steps", ()) for parameter in step.tool["inputs"]]
            changed |= _replaced_in([*process.tool["inputs"], *steps], "default", replaced)
            listings = [one for one in process.requirements if one.get("class") == "InitialWorkDirRequirement"]
            changed |= _replaced_in(listings, "listing", replaced)
        if changed:
            self.graph = build(self.document.process)

    def hide(self, text: str) -> str:
        """Cross out secrets in what is shown: a tool may print them."""
        for secret in self.secrets.secrets.values():
            if len(str(secret)) >= _SHORTEST_SECRET:
                text = text.replace(str(secret), "(secret)")
        return text


def _replaced_in(holders: Sequence[Any], key: str, replaced: Callable[[Any], Any]) -> bool:
    changed = False
    for holder in holders:
        value = holder.get(key)
        if isinstance(value, dict | list) and (new := replaced(value)) is not value:
            holder[key] = new
            changed = True
    return changed


def open_document(
    name: str,
    words: Sequence[str],
    options: EvaluationOptions,
    *,
    basedir: str | None,
    overrides: str | None,
    selection: Selection | None = None,
    folder: Path | None = None,
    text: str | None = None,
) -> CwlSession:
    """Read the input file and the document.

    Args:
        name: the document as the user wrote it.
        words: what the user wrote behind it.
        options: how to load and evaluate.
        basedir: where relative paths count from, instead of the input file's folder.
        overrides: a file of requirements.
        selection: the part of the document that is to run; None for all of it.
        folder: where relative paths count from; None for the current folder.
        text: the input object, if ``-`` or an empty word stands for it; None reads standard input.

    Raises:
        GridCWLError: one of them cannot be read or is not valid.
        SystemExit: ``--help`` is among the words, and was printed.
    """
    allow_javascript(allowed=options.javascript)
    here = folder if folder is not None and folder != Path.cwd() else None
    uri, file_uri = locate(_document_in(here, name), options.registries)
    changes = cwl_inputs.load_overrides(_in(here, overrides), file_uri) if overrides else []
    check_overrides(f"overrides in {overrides}", changes)
    loading = Loading(uri, file_uri, options, selection or Selection())
    if not words or (len(words) == 1 and (words[0] == "-" or not words[0].startswith("-"))):
        written = cwl_inputs.read_input_object(_in(here, words[0]) if words else None, basedir, file_uri, here, text)
    else:
        written = _with_options(loading.load(changes), words, basedir, name, file_uri, here)
    check_run_requirements(written)
    document = loading.load([*written.overrides, *changes], written.requirements)
    check_age(document.process, written)
    _check_lacks(document, only_check=options.only_check)
    if not options.javascript:
        refuse_javascript(document.process)
    if not options.only_check:
        check_software(
            document.process,
            options.software,
            containers=options.containers,
            default_image=bool(options.default_container),
        )
    secrets = SecretStore()
    graph = build(document.process, abstract=options.only_check)
    return CwlSession(document, graph, job_context(options, secrets), secrets, written, name)


def _in(folder: Path | None, name: str) -> str:
    """A file's name counted from a folder; None leaves it as it is, and what is no file's name stays."""
    return name if folder is None or name in cwl_inputs.TEXTS or "://" in name else str(folder / name)


def _document_in(folder: Path | None, name: str) -> str:
    """The same for a document, which may have a fragment, or be the name of a tool in a registry."""
    if folder is None or "://" in name:
        return name
    places = [Path(name), Path(name.partition("#")[0])]
    here = any((folder / place).exists() for place in places) or any(place.exists() for place in places)
    return str(folder / name) if here else name


def _check_lacks(document: Document, *, only_check: bool) -> None:
    """Warn of what the document's caller may declare, or refuse the document where it runs alone.

    Raises:
        DocumentError: it runs, and nobody declares it.
    """
    if not document.lacks:
        return
    first = document.lacks[0]
    if not only_check:
        raise DocumentError(
            f"The document {shown_uri(document.uri)} cannot run alone: {first.message}", remedy=first.remedy
        )
    for lack in document.lacks:
        log.warning("%s. %s A workflow that runs this document may do so instead.", lack.message, lack.remedy)


def input_options(name: str, options: EvaluationOptions) -> InputOptions | None:
    """The options of a document's inputs; None if the document is not valid.

    Args:
        name: the document as the user wrote it.
        options: how to load.

    Raises:
        DocumentError: there is no such file.
    """
    allow_javascript(allowed=options.javascript)
    route_logging(logging.NullHandler(), logging.WARNING)  # its warnings are shown when it is run
    uri, _ = locate(name, options.registries)
    try:
        return options_of(load(uri, options).process)
    except GridCWLError:
        return None


def _with_options(
    document: Document, words: Sequence[str], basedir: str | None, name: str, file_uri: str, here: Path | None
) -> cwl_inputs.WrittenInputs:
    """The input object, and what options for inputs add."""
    options = options_of(document.process)
    read = options.read(words, name)
    if read.help:
        print(options.help(name), end="")
        raise SystemExit(0)
    if read.behind and read.file and "://" not in read.file and not Path(_in(here, read.file)).exists():
        raise not_true_or_false(read.behind, read.file)
    written = cwl_inputs.read_input_object(_in(here, read.file) if read.file else None, basedir, file_uri, here)
    written.options = absolute(read.values, basedir or str(here or Path.cwd()))
    return written
