"""A part of a workflow: cwltool's ``--target``, ``--single-step`` and ``--single-process``."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from cwltool.process import shortname
from cwltool.workflow import Workflow

from gridcwl.cwl.load import Document, read_with, shown_uri
from gridcwl.cwl.problems import problems
from gridcwl.errors import DocumentError
from gridcwl.suggest import did_you_mean

if TYPE_CHECKING:
    from cwltool.process import Process

    from gridcwl.cwl.context import EvaluationOptions


@dataclass(frozen=True, slots=True)
class Selection:
    """The part of a workflow that runs; all of it by default."""

    targets: tuple[str, ...] = ()
    """Outputs, steps or inputs: only what contributes to these outputs, or depends on these."""
    step: str | None = None
    """Only this step, with its scatter, condition and ``valueFrom``."""
    process: str | None = None
    """Only what this step runs."""

    def __bool__(self) -> bool:
        return bool(self.targets or self.step or self.process)


def select(
    uri: str,
    options: EvaluationOptions,
    selection: Selection,
    *,
    overrides: Sequence[Any] = (),
    run_requirements: Sequence[Any] = (),
    update: bool = True,
) -> Document:
    """A part of a document, made by cwltool's own functions.

    Args:
        uri: as ``gridcwl.cwl.load.locate`` gives it.
        options: how to load.
        selection: which part.
        overrides: as for ``gridcwl.cwl.load.load``.
        run_requirements: as for ``gridcwl.cwl.load.load``.
        update: bring it to the newest version of CWL; False prints it as it was written.

    Raises:
        DocumentError: the document is not valid, is no workflow, or has no such part.
    """
    from cwltool.main import choose_process, choose_step, choose_target

    document = read_with(uri, options, list(overrides), list(run_requirements), update=update)
    if not selection:
        return document
    workflow = document.process
    _check(workflow, selection)
    given = argparse.Namespace(
        target=list(selection.targets), single_step=selection.step, single_process=selection.process
    )
    choose = choose_target if selection.targets else choose_step if selection.step else choose_process
    with problems(DocumentError, f"Cannot take a part of {shown_uri(uri)}"):
        try:
            chosen = choose(given, workflow, document.loading)
        except Exception as error:
            if type(error) is not Exception:
                raise
            # cwltool knows only steps by the ids that they have in the document itself
            name = selection.step or selection.process
            raise DocumentError(
                f"{name} is a step of a sub-workflow, and only those of {shown_uri(uri)} itself can run alone",
                remedy="Run the document of the sub-workflow, if it has one.",
            ) from error
    if selection.process and str(chosen.tool.get("id", "_:")).startswith("_:"):
        # a tool that is written within its step has no name but the step's
        chosen.tool["id"] = f"{document.uri.partition('#')[0]}#{selection.process}"
    return Document(document.uri, chosen, document.files, document.loading)


def _check(workflow: Process, selection: Selection) -> None:
    option = "--target" if selection.targets else "--single-step" if selection.step else "--single-process"
    where = shown_uri(str(workflow.tool.get("id", "the document")))
    if not isinstance(workflow, Workflow):
        raise DocumentError(
            f"{option} takes a part of a workflow, and {where} is a {workflow.tool.get('class')}",
            remedy=f"Leave {option} out.",
        )
    known = list(_steps(workflow))
    if selection.targets:
        known = [shortname(step.id) for step in workflow.steps]
        known += [shortname(each["id"]) for part in ("outputs", "inputs") for each in workflow.tool[part]]
        known += [f"{shortname(step.id)}/{_output(each)}" for step in workflow.steps for each in step.tool["out"]]
    for name in selection.targets or (selection.step or selection.process or "",):
        if name not in known:
            what = "step, output or input" if selection.targets else "step"
            remedy = f"{did_you_mean(name, known)} There are: {', '.join(known)}.".lstrip()
            raise DocumentError(f"{option} {name}: {where} has no {what} of that name", remedy=remedy)


def _output(written: Any) -> str:
    return str(shortname(written["id"] if isinstance(written, dict) else written))


def _steps(process: Process, above: str = "") -> list[str]:
    if not isinstance(process, Workflow):
        return []
    names = []
    for step in process.steps:
        name = f"{above}{shortname(step.id)}"
        names += [name, *_steps(step.embedded_tool, f"{name}/")]
    return names
