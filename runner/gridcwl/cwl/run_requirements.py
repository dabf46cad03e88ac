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
from gridcwl.cwl.resources import mistakes
from gridcwl.cwl.schema_errors import findings, message_of_mistakes
from gridcwl.cwl.sources import place, shown_path
from gridcwl.errors import InputError, UnsupportedError
from gridcwl.suggest import did_you_mean

if TYPE_CHECKING:
    from cwltool.process import Process

    from gridcwl.cwl.inputs import WrittenInputs

_PREFIX = "http://commonwl.org/cwltool#"
_SECRETS = f"{_PREFIX}Secrets"
_TARGET, _REQUIREMENTS = "overrideTarget", "requirements"
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
    _check("cwl:requirements in the input object", written.requirements)
    check_overrides("cwltool:overrides in the input object", written.overrides)


def check_overrides(what: str, overrides: Sequence[Any]) -> None:
    """Refuse overrides that would change nothing: in a misspelt field, or by a requirement that does not exist.

    Raises:
        InputError: one is not written as an override has to be.
        UnsupportedError: the class of a requirement is not supported.
    """
    for override in overrides:
        stray = next((key for key in override if key not in (_TARGET, _REQUIREMENTS)), None)
        if stray is not None:
            raise InputError(
                f"{place(override, stray)} the {what} have a field '{bare_name(shown_path(stray))}'".lstrip(),
                remedy=f"{did_you_mean(stray, [_REQUIREMENTS])} An override has requirements only.".lstrip(),
            )
        _check(what, override.get(_REQUIREMENTS, ()))


def _check(name: str, requirements: Any) -> None:
    if not isinstance(requirements, Sequence) or not all(isinstance(one, Mapping) for one in requirements):
        raise InputError(
            f"The requirements in {name} are none",
            remedy="Write them as in a document: a list of {class: ..., ...}, or a map by class.",
        )
    for requirement in requirements:
        kind = str(requirement.get("class", "")).replace("cwltool:", _PREFIX)
        if kind not in (*supportedProcessRequirements, _SECRETS):
            shown = bare_name(shown_path(kind)) or "without a class"
            raise UnsupportedError(
                f"{place(requirement)} the requirement {shown} in {name} is not supported".lstrip(),
                remedy=known_requirement(bare_name(shown_path(kind))),
            )
        if not kind.startswith(_PREFIX):
            _validate(name, requirement)
    if found := list(mistakes({_REQUIREMENTS: requirements})):
        detail, remedy = message_of_mistakes(found)
        detail = detail if len(found) == 1 else detail.replace("it has", "they have", 1)
        raise InputError(f"The {name} are not valid: {detail}", remedy=remedy)


def _validate(name: str, requirement: Any) -> None:
    from cwltool.context import LoadingContext
    from cwltool.load_tool import fetch_document, resolve_and_validate_document

    what = f"{place(requirement)} the {name} are not valid: {requirement['class']}".lstrip()
    remedy = "Write the requirement as in a document."
    try:
        probe = cmap({**_PROBE, "requirements": [copy.deepcopy(requirement)]})
        context, document, uri = fetch_document(probe, LoadingContext({"do_update": False}))
        resolve_and_validate_document(context, document, uri)
    except SchemaSaladException as error:
        if found := findings(error):
            detail, better = message_of_mistakes([one._replace(place="") for one in found])
            raise InputError(f"{what}: {detail}", remedy=better or remedy) from error
        # before that it speaks of the probe
        _, _, detail = tidy(error).partition("item is invalid because")
        raise InputError(f"{what}: {' '.join((detail or tidy(error)).split())}", remedy=remedy) from error
