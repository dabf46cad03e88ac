"""What is printed instead of a run: ``--validate``, ``--pack`` and cwltool's options of that kind."""

from __future__ import annotations

import sys
from collections.abc import Callable
from dataclasses import replace
from typing import TYPE_CHECKING

from gridcwl.runs.from_options import evaluation, opened, selection
from gridcwl.runs.options import Options

if TYPE_CHECKING:
    from gridcwl.cwl.load import Document


def show(options: Options) -> int:
    """Print it; returns the exit code.

    Raises:
        GridCWLError: the document or the input object cannot be read or is not valid.
    """
    print(_SHOWN[options.show or "validate"](options), end="")
    sys.stdout.flush()
    return 0


def _validated(options: Options) -> str:
    from gridcwl.cwl.load import processes_of

    parts = processes_of(options.document) if not options.words else ()
    for document in parts or (options.document,):
        session = opened(replace(options, document=document), replace(evaluation(options), only_check=True))
        if options.words:
            session.inputs()
    return f"{options.document} is valid CWL.\n"


def _packed(options: Options) -> str:
    from gridcwl.cwl import show as shown

    return shown.packed(_document(options, preprocess_only=True, update=False)) + "\n"


def _drawn(options: Options) -> str:
    from gridcwl.cwl import show as shown

    return shown.drawn(_document(options))


def _template(options: Options) -> str:
    from gridcwl.cwl.templates import template

    return template(_document(options).process)


def _help(options: Options) -> str:
    from gridcwl.cwl.input_options import options_of

    return options_of(_part(options).process).help(options.document)


def _versions(options: Options) -> str:
    from gridcwl.cwl import show as shown

    return shown.versions(development=options.enable_dev)


def _dependencies(options: Options) -> str:
    from gridcwl.cwl import show as shown

    return shown.dependencies(_document(options), options.cwltool.relative_deps)


def _input_dependencies(options: Options) -> str:
    from gridcwl.cwl import show as shown

    return shown.input_dependencies(opened(options), options.cwltool.relative_deps)


def _preprocessed(options: Options) -> str:
    from gridcwl.cwl import show as shown

    return shown.preprocessed(_document(options, preprocess_only=True))


def _rdf(options: Options) -> str:
    from gridcwl.cwl import show as shown

    return shown.rdf(_document(options), options.cwltool.rdf_serializer)


def _targets(options: Options) -> str:
    from gridcwl.cwl import show as shown

    return shown.targets(_document(options))


def _subgraph(options: Options) -> str:
    from gridcwl.cwl import show as shown

    return shown.subgraph(_part(options, update=False))


_SHOWN: dict[str, Callable[[Options], str]] = {
    "validate": _validated,
    "pack": _packed,
    "dot": _drawn,
    "template": _template,
    "help": _help,
    "versions": _versions,
    "deps": _dependencies,
    "input-deps": _input_dependencies,
    "pre": _preprocessed,
    "rdf": _rdf,
    "targets": _targets,
    "subgraph": _subgraph,
}


def _document(options: Options, *, preprocess_only: bool = False, update: bool = True) -> Document:
    from gridcwl.cwl import inputs, load

    how = replace(evaluation(options), only_check=True)
    uri, file_uri = load.locate(options.document, how.registries)
    changes = inputs.load_overrides(options.overrides, file_uri) if options.overrides else []
    return load.read_with(uri, how, changes, [], preprocess_only=preprocess_only, update=update)


def _part(options: Options, *, update: bool = True) -> Document:
    from gridcwl.cwl import load
    from gridcwl.cwl.selection import select

    how = replace(evaluation(options), only_check=True)
    uri, _ = load.locate(options.document, how.registries)
    return select(uri, how, selection(options), update=update)
