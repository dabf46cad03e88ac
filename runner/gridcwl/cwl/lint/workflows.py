"""Rules for workflows: links that lead nowhere, names that collide, steps and what they run."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from gridcwl.cwl.lint.checking import Given, Linter, LintScope
from gridcwl.cwl.lint.source import Node, Source, entries
from gridcwl.cwl.lint.tools import check_default, constant_name, has_javascript, reads


@dataclass(frozen=True, slots=True)
class _Step:
    name: str
    node: Node
    process: tuple[Source, Node] | None
    """What it runs; None if that is elsewhere."""


def check(linter: Linter, scope: LintScope) -> None:
    """Apply the rules for workflows."""
    steps = list(_steps(linter, scope))
    read = set(_read(scope, steps))
    for name, entry, owner, key in entries(scope.node.get("inputs")):
        if isinstance(entry, Mapping):
            check_default(linter, scope.source, name, entry.get("default"))
        if name not in read and steps:
            linter.add("GC202", f"no step of {scope.name} reads the input {name}", scope.source, owner, key)
    for step in steps:
        _outputs(linter, scope, step, read)
        _inputs(linter, scope, step)
        if step.process is not None:
            given = _for_step(linter, scope, step)
            linter.check(*step.process, given)
    _collisions(linter, scope, steps)
    _javascript(linter, scope, steps)


def _steps(linter: Linter, scope: LintScope) -> Iterator[_Step]:
    for name, node, _, _ in entries(scope.node.get("steps")):
        if not isinstance(node, Mapping):
            continue
        run = node.get("run")
        process: tuple[Source, Node] | None = None
        if isinstance(run, Mapping):
            imported = run.get("$import")
            process = linter.sources.follow(scope.source, str(imported)) if imported else (scope.source, run)
        elif isinstance(run, str):
            process = linter.sources.follow(scope.source, run)
            if run.startswith(("http:", "https:")):
                linter.add("GC403", f"the step {name} runs {run}", scope.source, node, "run")
        yield _Step(name, node, process)


def _for_step(linter: Linter, scope: LintScope, step: _Step) -> Mapping[str, Given]:
    inherited = dict(scope.given)
    for kind, entry in linter.given(scope.source, step.node).items():
        if entry.required or kind not in inherited or not inherited[kind].required:
            inherited[kind] = entry
    return inherited


def _read(scope: LintScope, steps: Sequence[_Step]) -> Iterator[str]:
    """All sources that something reads: ``input`` and ``step/output``."""
    for step in steps:
        for _, link in _links(step.node.get("in")):
            yield from _sources(link, "source", scope)
    for _, entry, _, _ in entries(scope.node.get("outputs")):
        yield from _sources(entry, "outputSource", scope)


def _links(value: Any) -> Iterator[tuple[str, Any]]:
    for name, entry, _, _ in entries(value):
        yield name, {"source": entry} if isinstance(entry, str | list) else entry


def _sources(entry: Any, field: str, scope: LintScope) -> Iterator[str]:
    if isinstance(entry, str) and field == "outputSource":
        return
    found = entry.get(field) if isinstance(entry, Mapping) else None
    for source in [found] if isinstance(found, str) else found or ():
        parts = str(source).rpartition("#")[2].split("/")
        own = str(scope.node.get("id", "")).rpartition("#")[2]
        if len(parts) > 1 and parts[0] in (own, scope.source.path.name):
            parts = parts[1:]
        yield "/".join(parts)


def _outputs(linter: Linter, scope: LintScope, step: _Step, read: set[str]) -> None:
    for name, _, owner, key in entries(step.node.get("out")):
        if f"{step.name}/{name}" not in read:
            linter.add("GC203", f"{step.name}/{name} is not used", scope.source, owner, key)


def _inputs(linter: Linter, scope: LintScope, step: _Step) -> None:
    if step.process is None:
        return
    known = {name for name, *_ in entries(step.process[1].get("inputs"))}
    if not known and step.process[1].get("inputs"):
        return  # in a form that this does not read, such as $import
    expressions = {key: step.node[key] for key in ("when", "in", "requirements", "hints") if key in step.node}
    names, everything = reads(expressions, scope.source)
    for name, _, owner, key in entries(step.node.get("in")):
        if name not in known and name not in names and not everything:
            linter.add("GC204", f"what {step.name} runs has no input {name}", scope.source, owner, key)


def _collisions(linter: Linter, scope: LintScope, steps: Sequence[_Step]) -> None:
    """Final outputs with one name."""
    by_name = {step.name: step for step in steps}
    owners: dict[str, list[tuple[str, Any, Any]]] = defaultdict(list)
    for output, entry, owner, key in entries(scope.node.get("outputs")):
        for source in _sources(entry, "outputSource", scope):
            step = by_name.get(source.rpartition("/")[0])
            if step is None or step.process is None:
                continue
            tool = step.process[1]
            ports = {name: port for name, port, _, _ in entries(tool.get("outputs"))}
            name = constant_name(ports.get(source.rpartition("/")[2]), tool)
            if name is None:
                continue
            if "scatter" in step.node:
                text = f"each shard of {step.name} makes a file {name}"
                linter.add("GC410", text, scope.source, owner, key)
            owners[name].append((output, owner, key))
    for name, found in owners.items():
        for output, owner, key in found[1:]:
            if output != found[0][0]:
                linter.add("GC411", f"{found[0][0]} and {output} are both {name}", scope.source, owner, key)


def _javascript(linter: Linter, scope: LintScope, steps: Sequence[_Step]) -> None:
    """Steps inherit the requirement: it has an effect if anything below has JavaScript."""
    given = scope.own.get("InlineJavascriptRequirement")
    if given is None or given.node.get("expressionLib"):
        return
    below = [step.process for step in steps]
    if any(process is None or re.match("Workflow|ExpressionTool", str(process[1].get("class"))) for process in below):
        return
    if not has_javascript(scope.node, scope.source) and not any(
        process is not None and has_javascript(process[1], process[0]) for process in below
    ):
        linter.add("GC404", f"{scope.name} has no JavaScript", given.source, given.owner, given.key)
