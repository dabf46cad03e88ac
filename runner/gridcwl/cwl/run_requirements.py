"""Requirements that come with the input object, checked as a document's own are."""

from __future__ import annotations

import copy
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from cwltool.process import supportedProcessRequirements
from cwltool.update import ORIGINAL_CWLVERSION
from schema_salad.exceptions import SchemaSaladException
from schema_salad.sourceline import cmap

from gridcwl.cwl.messages import bare_name, known_requirement, tidy
from gridcwl.errors import InputError, UnsupportedError

if TYPE_CHECKING:
    from cwltool.process import Process

    from gridcwl.cwl.inputs import WrittenInputs

_PREFIX = "http://commonwl.org/cwltool#"
_SECRETS = f"{_PREFIX}Secrets"
_WHERE = "file:///input_object"
_PROBE = {"cwlVersion": "v1.2", "class": "CommandLineTool", "id": _WHERE, "inputs": [], "outputs": []}
"""A document that is valid if the requirements are that it is given."""


def check_age(process: Process, written: WrittenInputs) -> None:
    """Refuse ``cwl:requirements`` of a document that is too old for them.

    Raises:
        InputError: the document is CWL v1.0.
    """
    if written.requirements and process.metadata.get(ORIGINAL_CWLVERSION) == "v1.0":
        raise InputError(
            "cwl:requirements in the input object is not part of CWL v1.0",
            remedy="Use cwltool:overrides instead, or raise the document's cwlVersion to v1.1 or newer.",
        )


def check_run_requirements(written: WrittenInputs) -> None:
    """Refuse what is no requirement.

    Raises:
        InputError: it is not written as a requirement has to be.
        UnsupportedError: its class is not supported.
    """
    _check("cwl:requirements", written.requirements)
    for override in written.overrides:
        _check("cwltool:overrides", override.get("requirements", ()))


def _check(name: str, requirements: Any) -> None:
    if not isinstance(requirements, Sequence) or not all(isinstance(one, Mapping) for one in requirements):
        raise InputError(
            f"The requirements in {name} in the input object are none",
            remedy="Write them as in a document: a list of {class: ..., ...}, or a map by class.",
        )
    for requirement in requirements:
        kind = str(requirement.get("class", "")).replace("cwltool:", _PREFIX)
        if kind not in (*supportedProcessRequirements, _SECRETS):
            raise UnsupportedError(
                f"The requirement {kind or 'without a class'} of the input object is not supported",
                remedy=known_requirement(bare_name(kind)),
            )
        if not kind.startswith(_PREFIX):
            _validate(name, requirement)


def _validate(name: str, requirement: Any) -> None:
    from cwltool.context import LoadingContext
    from cwltool.load_tool import fetch_document, resolve_and_validate_document

    what = f"The {name} in the input object are not valid: {requirement['class']}"
    remedy = "Write the requirement as in a document."
    try:
        probe = cmap({**_PROBE, "requirements": [copy.deepcopy(requirement)]})
        context, document, uri = fetch_document(probe, LoadingContext({"do_update": False}))
        resolve_and_validate_document(context, document, uri)
    except SchemaSaladException as error:
        # before that it speaks of the probe
        _, _, detail = tidy(error).partition("item is invalid because")
        raise InputError(f"{what}: {' '.join((detail or tidy(error)).split())}", remedy=remedy) from error
