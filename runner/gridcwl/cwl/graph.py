"""cwltool's processes as the engine's graph, and the evaluator that the engine asks about expressions."""

from __future__ import annotations

import copy
import re
from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any

from cwl_utils import expression
from cwltool.builder import content_limit_respected_read
from cwltool.command_line_tool import AbstractOperation, CommandLineTool, ExpressionTool
from cwltool.errors import WorkflowException
from cwltool.process import shortname
from cwltool.utils import adjustDirObjs, aslist, get_listing, normalizeFilesDirs
from cwltool.workflow import Workflow as CwlWorkflow

from gridcwl.cwl import origins
from gridcwl.cwl.access import encode_secondary_files, name_directories
from gridcwl.cwl.inputs import plain
from gridcwl.cwl.patches.command_line_tool import init_job
from gridcwl.cwl.problems import problems, tidy
from gridcwl.cwl.sources import place
from gridcwl.cwl.step_groups import groups_of
from gridcwl.engine import graph
from gridcwl.errors import DocumentError, ExpressionError, InputError, UnsupportedError

if TYPE_CHECKING:
    from cwltool.process import Process
    from cwltool.workflow import WorkflowStep

    from gridcwl.cwl.context import JobContext


_REFERENCE = re.compile(r"""\$\(\w+(\.\w+|\[\d+\]|\['[^']+'\]|\["[^"]+"\])*\)""")
"""A parameter reference, https://www.commonwl.org/v1.2/CommandLineTool.html#Parameter_references"""


@dataclass(frozen=True, slots=True)
class Expression:
    """A ``valueFrom`` or ``when`` with the requirements that say which language it is in."""

    text: Any
    requirements: list[Any]

    def __str__(self) -> str:
        return str(self.text)


def build(process: Process, where: str = "", *, abstract: bool = False) -> graph.Workflow | graph.Leaf:
    """The engine's graph of a process.

    Args:
        process: a tool or a workflow.
        where: its name in errors, if it has none of its own.
        abstract: accept abstract Operations: the graph is looked at, and does not run.

    Raises:
        DocumentError: links do not fit, steps wait for each other, or an abstract Operation is to be run.
        UnsupportedError: it is of a class that gridcwl does not run.
    """
    if isinstance(process, CwlWorkflow):
        return _workflow(process, abstract=abstract)
    if isinstance(process, CommandLineTool):
        return graph.Leaf(_name(process), "tool", process)
    if isinstance(process, ExpressionTool):
        return graph.Leaf(_name(process), "expression", process)
    where = where or tidy(str(process.tool.get("id", "the document")))
    if isinstance(process, AbstractOperation) and abstract:
        return graph.Leaf(_name(process), "expression", process)
    if isinstance(process, AbstractOperation):
        raise DocumentError(
            f"{place(process.tool)} {where} is an abstract Operation, which cannot be run".lstrip(),
            remedy="Put a tool or a workflow in its place.",
        )
    raise UnsupportedError(f"{where} is a {process.tool.get('class')}, which gridcwl does not run")


def _name(process: Process) -> str:
    return shortname(process.tool.get("id", "main")) or "main"


def _workflow(process: CwlWorkflow, *, abstract: bool) -> graph.Workflow:
    names = {parameter["id"]: shortname(parameter["id"]) for parameter in process.tool["inputs"]}
    steps = _in_document_order(process)
    for step in steps:
        names |= {output["id"]: f"{_step_name(step)}/{shortname(output['id'])}" for output in step.tool["outputs"]}
    return graph.Workflow(
        id=_name(process),
        inputs=tuple(shortname(parameter["id"]) for parameter in process.tool["inputs"]),
        steps=tuple(_step(step, process, names, abstract=abstract) for step in steps),
        outputs=tuple(_sink(output, "outputSource", names, process) for output in process.tool["outputs"]),
        handle=process,
    )


def _in_document_order(process: CwlWorkflow) -> list[WorkflowStep]:
    """cwltool shuffles its steps (``Workflow.__init__``); people want to see them as they wrote them."""
    written = {step["id"]: number for number, step in enumerate(process.tool["steps"])}
    return sorted(process.steps, key=lambda step: written.get(step.id, 0))


def _step_name(step: WorkflowStep) -> str:
    return str(shortname(step.id))


def _step(step: WorkflowStep, parent: CwlWorkflow, names: dict[str, str], *, abstract: bool) -> graph.Step:
    tool = step.tool
    groups = groups_of(step)
    scattered = tuple(shortname(key) for key in aslist(tool.get("scatter", [])))
    return graph.Step(
        id=_step_name(step),
        run=build(step.embedded_tool, f"The step {tidy(step.id)}", abstract=abstract),
        sinks=tuple(_sink(parameter, "source", names, parent) for parameter in tool["inputs"]),
        outputs=tuple(shortname(output["id"]) for output in tool["outputs"]),
        scatter=scattered or (() if groups is None else (groups.input,)),
        method=tool.get("scatterMethod") or "dotproduct",
        when=Expression(tool["when"], parent.requirements) if "when" in tool else None,
        loop=_loop(step, parent) if tool.get("loop") else None,
        handle=step,
        groups=groups,
    )


def _loop(step: WorkflowStep, parent: CwlWorkflow) -> graph.Loop:
    own = {output["id"]: shortname(output["id"]) for output in step.tool["outputs"]}
    sinks = tuple(_sink(parameter, "outputSource", own, parent) for parameter in step.tool["loop"])
    return graph.Loop(sinks, step.tool.get("outputMethod", "last_iteration"))


def _sink(parameter: Any, source_field: str, names: dict[str, str], parent: CwlWorkflow) -> graph.Sink:
    written = aslist(parameter[source_field]) if parameter.get(source_field) else []
    if len(written) > 1:
        _require(parent, "MultipleInputFeatureRequirement", f"links {parameter['id']} to several sources")
    if "valueFrom" in parameter:
        _require(parent, "StepInputExpressionRequirement", f"gives {parameter['id']} a valueFrom")
    unknown = [source for source in written if source not in names]
    if unknown:
        raise DocumentError(
            f"{tidy(parameter['id'])} is linked to {tidy(unknown[0])}, which does not exist",
            remedy="A source is an input of the workflow, or STEP/OUTPUT.",
        )
    return graph.Sink(
        id=shortname(parameter["id"]),
        sources=tuple(names[source] for source in written),
        link_merge=parameter.get("linkMerge"),
        pick_value=parameter.get("pickValue"),
        default=plain(parameter["default"]) if "default" in parameter else graph.MISSING,
        value_from=Expression(parameter["valueFrom"], parent.requirements) if "valueFrom" in parameter else None,
        load_contents=bool(parameter.get("loadContents")) and source_field == "source",
        connected=not parameter.get("not_connected"),
    )


def _require(parent: CwlWorkflow, requirement: str, what: str) -> None:
    if not parent.get_requirement(requirement)[0]:
        raise DocumentError(
            f"{tidy(str(parent.tool['id']))} {tidy(what)}, but does not declare {requirement}",
            remedy=f"Add '{requirement}: {{}}' to its requirements.",
        )


class CwlEvaluator:
    """Answers the engine's questions about expressions, with cwltool. Implements ``gridcwl.engine.Evaluator``."""

    def __init__(self, context: JobContext) -> None:
        self._context = context
        self._access = context.make_fs_access("")
        self._entered = False

    def enter(self, workflow: graph.Workflow, inputs: Mapping[str, Any]) -> Mapping[str, Any]:
        """Fill in defaults and validate; secondary files are looked for at the first, outermost workflow only."""
        context = self._context.copy()
        context.toplevel = not self._entered
        self._entered = True
        process: Any = workflow.handle
        with problems(InputError, f"The inputs of {workflow.id} are not valid"):
            entered: dict[str, Any] = init_job(process, dict(inputs), context).job
            if context.toplevel:
                encode_secondary_files(entered)
            for name, value in inputs.items():
                if entered.get(name) == value:
                    entered[name] = value  # a hundred thousand Files need not be held twice
        return entered

    def load_contents(self, step: graph.Step, value: Any) -> Any:
        """The File or Files with at most 64 KiB of their bytes as text."""
        if isinstance(value, list):
            return [self.load_contents(step, item) for item in value]
        if not isinstance(value, dict) or value.get("contents") is not None:
            return value
        with (
            problems(ExpressionError, f"loadContents of step {step.id} failed"),
            self._access.open(value["location"], "rb") as stream,
        ):
            try:
                return {**value, "contents": content_limit_respected_read(stream)}
            except WorkflowException as error:
                raise ExpressionError(
                    f"{tidy(str(value['location']))} is larger than the 64 KiB that loadContents of {step.id} reads",
                    remedy="Read the file in a tool instead, or give a smaller one.",
                ) from error

    def evaluate(self, step: graph.Step, expression_: Any, inputs: Mapping[str, Any], self_value: Any) -> Any:
        """The value of one ``valueFrom`` or ``when``."""
        with problems(ExpressionError, f"{expression_} of step {step.id} cannot be evaluated"):
            if _holds_directory(self_value):
                self_value = copy.deepcopy(self_value)
                adjustDirObjs(self_value, partial(get_listing, self._access, recursive=True))
            value = expression.do_eval(
                expression_.text,
                dict(inputs),
                expression_.requirements,
                None,
                None,
                {},
                context=self_value,
                debug=self._context.debug,
                js_console=self._context.js_console,
                timeout=self._context.eval_timeout,
            )
            if isinstance(value, dict | list):
                name_directories(value)
                normalizeFilesDirs(value)  # a literal gets its name here, where it is made
                if not _REFERENCE.fullmatch(str(expression_.text).strip()):  # which gives what is there
                    origins.check(value, origins.Origins(dict(inputs), self_value), f"An expression of step {step.id}")
            return value


def _holds_directory(value: Any) -> bool:
    if isinstance(value, list):
        return any(_holds_directory(item) for item in value)
    if isinstance(value, dict):
        return value.get("class") == "Directory" or any(_holds_directory(item) for item in value.values())
    return False
