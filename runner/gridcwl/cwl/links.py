"""Processes checked before cwltool makes objects of them: names that occur twice, scatters, steps' inputs, features.

What cwltool finds itself it often reports without a line, or by what it stumbled over. A feature that a workflow uses
without declaring it is noted: whoever runs the workflow as a step may declare it.
"""

from __future__ import annotations

import logging
import re
from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING, Any

from cwltool.process import shortname
from cwltool.utils import aslist
from ruamel.yaml.comments import CommentedMap, CommentedSeq
from schema_salad.exceptions import SchemaSaladException

from gridcwl.cwl.expressions import Lack
from gridcwl.cwl.messages import suggestion
from gridcwl.cwl.patches.enum_symbols import noted_symbols
from gridcwl.cwl.prefixes import undeclared
from gridcwl.cwl.resources import mistakes
from gridcwl.cwl.same_names import same_names, same_processes, shared_names
from gridcwl.cwl.schema_errors import Mistake, message_of_mistakes
from gridcwl.cwl.sources import place, shown_path
from gridcwl.errors import DocumentError
from gridcwl.suggest import near

if TYPE_CHECKING:
    from cwltool.context import LoadingContext
    from cwltool.process import Process

_KEPT_VARIABLES = {"HOME": "output directory", "TMPDIR": "folder for temporary files"}
"""https://www.commonwl.org/v1.2/CommandLineTool.html#Runtime_environment"""
_LACKS = "gridcwl_lacks"
_GRAPHS = "gridcwl_graphs"
_MISSING_INPUT = re.compile(r"Step is missing required parameter|does not correspond to")
_PARTS = {
    "array": ("items", "Write 'type: string[]', or 'type: {type: array, items: string}'."),
    "record": ("fields", "Write 'type: {type: record, fields: {NAME: TYPE}}'."),
    "enum": ("symbols", "Write 'type: {type: enum, symbols: [a, b]}'."),
}
_CYCLE = re.compile(r"steps have circular dependency:\s*\[([\s\S]*)\]")


def note_lacks(context: LoadingContext) -> list[Lack]:
    """Where the features are noted that a document loaded in this context does not declare."""
    lacks: list[Lack] = []
    setattr(context, _LACKS, lacks)  # one for all copies that cwltool makes of the context
    setattr(context, _GRAPHS, set())
    return lacks


def check(document: Any, loading: LoadingContext) -> None:
    """Refuse a process whose parts do not fit, before an object is made of it.

    Raises:
        DocumentError: all mistakes, each with its line.
    """
    _list_secondary_files(document)
    _warn_of_environment(document)
    found = [*_same_processes(document, loading), *same_names(document), *mistakes(document), *_bare_types(document)]
    if document.get("class") == "Workflow":
        for step in document.get("steps") or ():
            found += [*_scatter(step), *mistakes(step)]
        if not found:
            _declare(document, loading)
    _refuse(found, document)
    for warning in (*shared_names(document), *undeclared(document)):
        logging.getLogger("cwltool").warning("%s", warning)  # its warnings are repeated


def _same_processes(document: Any, loading: LoadingContext) -> Iterator[Mistake]:
    """Of the ``$graph`` that holds the process, once for each file."""
    file = str(document.get("id", "")).partition("#")[0]
    met: set[str] | None = getattr(loading, _GRAPHS, None)
    if loading.loader is None or met is None or file in met or file not in loading.loader.idx:
        return
    met.add(file)
    yield from same_processes(loading.loader.idx[file])


def _list_secondary_files(part: Any) -> None:
    """Make every single pattern of secondaryFiles a list of one: cwltool's check of links takes lists only."""
    for section in ("inputs", "outputs", "fields"):
        for parameter in part.get(section) or ():
            if not isinstance(parameter, dict):
                continue
            written = parameter.get("secondaryFiles")
            if isinstance(written, dict):
                parameter["secondaryFiles"] = CommentedSeq([written])
            for kind in aslist(parameter.get("type") or []):
                while isinstance(kind, dict):
                    _list_secondary_files(kind)
                    kind = kind.get("items")  # noqa: PLW2901


def _warn_of_environment(document: Any) -> None:
    for section in ("requirements", "hints"):
        for wanted in document.get(section) or ():
            if not isinstance(wanted, dict) or wanted.get("class") != "EnvVarRequirement":
                continue
            for one in wanted.get("envDef") or ():
                if isinstance(one, dict) and one.get("envName") in _KEPT_VARIABLES:
                    # by cwltool's logger: its warnings are repeated when the document comes from the cache
                    logging.getLogger("cwltool").warning(
                        "%s %s is not changed: CWL has it name the tool's %s",
                        place(one, "envName"),
                        one["envName"],
                        _KEPT_VARIABLES[one["envName"]],
                    )


def made(document: Any, loading: LoadingContext, make: Callable[[Any, Any], Process]) -> Process:
    """A process; if cwltool finds that a workflow's steps do not fit what they run, with what is wrong with each.

    Raises:
        DocumentError: a step lacks an input, names one or an output that does not exist, or steps form a circle.
    """
    with noted_symbols(document, loading):
        return _made(document, loading, make)


def _made(document: Any, loading: LoadingContext, make: Callable[[Any, Any], Process]) -> Process:
    check(document, loading)
    try:
        return make(document, loading)
    except SchemaSaladException as error:
        text = str(error)
        found: list[Mistake] = []
        if _MISSING_INPUT.search(text):
            found = [one for step in document["steps"] for one in _misfits(step, loading)]
        elif cycle := _CYCLE.search(text):
            found = [_circle(document, cycle[1])]
        _refuse(found, document, error)
        raise


def _refuse(found: Sequence[Mistake], document: Any, cause: Exception | None = None) -> None:
    if found:
        message, remedy = message_of_mistakes(found)
        name = shown_path(str(document.get("id", "")))
        what = "" if name.startswith("_:") or not name else f" {name}"
        raise DocumentError(f"The document{what} is not valid: {message}", remedy=remedy) from cause


def _bare_types(document: Any) -> Iterator[Mistake]:
    """Types that are nothing without what they consist of: ``type: array``."""
    for section in ("inputs", "outputs"):
        for parameter in document.get(section) or ():
            if not isinstance(parameter, dict):
                continue
            for kind in _kinds(parameter.get("type")):
                if kind in _PARTS:
                    part, remedy = _PARTS[kind]
                    name = shortname(parameter["id"])
                    yield Mistake(place(parameter, "type"), f"the type of '{name}' is {kind} without {part}", remedy)


def _kinds(kind: Any) -> Iterator[str]:
    for one in aslist(kind or []):
        if isinstance(one, str):
            yield one.rpartition("#")[2]
        elif isinstance(one, dict) and one.get("type") == "array":
            yield from _kinds(one.get("items")) if "items" in one else ("array",)


def _scatter(step: Any) -> Iterator[Mistake]:
    scattered = aslist(step["scatter"]) if step.get("scatter") else []
    names = [shortname(one["id"]) for one in step.get("in") or ()]
    for key in scattered:
        name = shortname(key)
        if name not in names:
            remedy = suggestion(name, names, "The step's inputs are") or "The step has no inputs."
            sources = [
                shortname(one["id"])
                for one in step.get("in") or ()
                if any(shortname(source) == name for source in aslist(one.get("source") or []))
            ]
            if sources:
                remedy = f"scatter names the step's own input: write 'scatter: {sources[0]}'."
            text = f"the step {shortname(step['id'])} is scattered over '{name}', which is not one of its inputs"
            yield Mistake(place(step, "scatter"), text, remedy)
    if len(scattered) > 1 and "scatterMethod" not in step:
        yield Mistake(
            place(step, "scatter"),
            f"the step {shortname(step['id'])} is scattered over several inputs, but has no scatterMethod",
            "Write 'scatterMethod: dotproduct', flat_crossproduct or nested_crossproduct.",
        )


def _misfits(step: Any, loading: LoadingContext) -> Iterator[Mistake]:
    """Inputs that a step lacks or invents, and outputs that do not exist."""
    tool = _tool(step, loading)
    if tool is None:
        return
    name, run = shortname(step["id"]), _run_name(step)
    given = [shortname(one["id"]) for one in step.get("in") or ()]
    wanted = {shortname(one["id"]): one for one in tool["inputs"]}
    for missing, parameter in wanted.items():
        if missing in given or "default" in parameter or "null" in aslist(parameter["type"]):
            continue
        strays = [one for one in given if one not in wanted]
        close = near(missing, strays, most=1)
        if close:
            at = next(one for one in step["in"] if shortname(one["id"]) == close[0])
            yield Mistake(
                place(at, "id"),
                f"the step {name} gives '{close[0]}', but {run} takes '{missing}'",
                f"Did you mean {missing}?",
            )
        else:
            yield Mistake(
                place(step, "in"),
                f"the step {name} does not give '{missing}', which {run} requires",
                f"Add '{missing}: SOURCE' to its in, or give the input a default.",
            )
    outputs = [shortname(one["id"]) for one in tool["outputs"]]
    for number, out in enumerate(step.get("out") or ()):
        output = shortname(out["id"] if isinstance(out, dict) else out)
        if output not in outputs:
            yield Mistake(
                place(step["out"], number),
                f"the step {name} lists the output '{output}', which {run} does not have",
                suggestion(output, outputs, "Its outputs are") or "It has no outputs.",
            )


def _tool(step: Any, loading: LoadingContext) -> Any:
    if isinstance(step["run"], dict):
        return step["run"]
    from gridcwl.cwl.patches.shared_processes import load_process

    own = loading.copy()
    own.metadata = {}
    try:
        return load_process(step["run"], own).tool
    except SchemaSaladException:
        return None


def _run_name(step: Any) -> str:
    return str(step["run"]).rpartition("/")[2] if isinstance(step["run"], str) else "what it runs"


def _circle(document: Any, steps: str) -> Mistake:
    names = re.findall(r"'([^']+)'", steps)
    written = [step for step in document["steps"] if step["id"] in names]
    at = place(written[0]) if written else ""
    listed_ = ", ".join(shortname(step["id"]) for step in written)
    return Mistake(at, f"the steps {listed_} wait for each other", "Take one of the links between them out.")


def _declare(document: Any, loading: LoadingContext) -> None:
    """Declare the features that a workflow uses without a word of them, and note that it lacks them."""
    declared = {one.get("class") for one in (*(loading.requirements or ()), *(document.get("requirements") or ()))}
    lacks: list[Lack] | None = getattr(loading, _LACKS, None)
    if lacks is None or document.get("requirements", ()) is None:
        return
    for feature, at, what in _features(document, loading):
        if feature in declared:
            continue
        declared.add(feature)
        requirement = CommentedMap({"class": feature})
        document.setdefault("requirements", CommentedSeq()).append(requirement)
        lacks.append(
            Lack(
                f"{at} {what}, but {feature} is not declared".strip(),
                f"Add '{feature}: {{}}' to its requirements.",
            )
        )


def _features(document: Any, loading: LoadingContext) -> Iterator[tuple[str, str, str]]:
    for output in document.get("outputs") or ():
        if len(aslist(output.get("outputSource") or [])) > 1:
            name = shortname(output["id"])
            yield "MultipleInputFeatureRequirement", place(output), f"the output {name} has several sources"
    for step in document.get("steps") or ():
        name = shortname(step["id"])
        own = {one.get("class") for one in step.get("requirements") or ()}
        if step.get("scatter") and "ScatterFeatureRequirement" not in own:
            yield "ScatterFeatureRequirement", place(step, "scatter"), f"the step {name} is scattered"
        if "SubworkflowFeatureRequirement" not in own and _is_workflow(step, loading):
            yield "SubworkflowFeatureRequirement", place(step, "run"), f"the step {name} runs a workflow"
        for link in step.get("in") or ():
            what = f"the input {shortname(link['id'])} of the step {name}"
            if len(aslist(link.get("source") or [])) > 1:
                yield "MultipleInputFeatureRequirement", place(link), f"{what} has several sources"
            if "valueFrom" in link:
                yield "StepInputExpressionRequirement", place(link), f"{what} has a valueFrom"


def _is_workflow(step: Any, loading: LoadingContext) -> bool:
    run = step.get("run")
    if isinstance(run, str) and loading.loader is not None:
        file, _, fragment = run.partition("#")
        try:
            run = loading.loader.fetch(file)  # it was read when the document was resolved
        except SchemaSaladException:
            return False
        if isinstance(run, dict) and "$graph" in run:
            graph = run["$graph"]
            parts = [one for one in graph if isinstance(one, dict)] if isinstance(graph, list) else []
            run = next((one for one in parts if shortname(str(one.get("id", ""))) == (fragment or "main")), None)
    return isinstance(run, dict) and run.get("class") == "Workflow"
