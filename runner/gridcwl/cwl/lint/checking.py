"""Walks through a document and all that it runs, and applies the rules."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from gridcwl.cwl.lint.rules import RULES, Level, LintRule
from gridcwl.cwl.lint.source import Node, Source, SourceFiles, line_of

_STANDARD_PREFIXES = ("http://commonwl.org/", "https://w3id.org/cwl/cwl#")


@dataclass(frozen=True, slots=True, order=True)
class Finding:
    """One thing that a rule has found."""

    path: str
    line: int
    column: int
    code: str
    message: str

    @property
    def rule(self) -> LintRule:
        """The rule that found it."""
        return RULES[self.code]

    @property
    def level(self) -> Level:
        """How bad it is."""
        return self.rule.level


@dataclass(frozen=True, slots=True)
class Given:
    """A requirement or hint that holds for a process.

    Attributes:
        node: its fields.
        required: it is a requirement, not a hint.
        owner: what to look its line up with, and
        key: where in that.
        source: the file that it is in.
    """

    node: Mapping[str, Any]
    required: bool
    owner: Any
    key: Any
    source: Source


@dataclass(frozen=True, slots=True)
class LintScope:
    """A process as it is run: with what it inherits."""

    source: Source
    node: Node
    name: str
    given: Mapping[str, Given]
    """By class: what holds for it, its own and inherited."""
    own: Mapping[str, Given]
    """What it has itself."""


@dataclass(slots=True)
class Linter:
    """Collects what the rules find."""

    sources: SourceFiles = field(default_factory=SourceFiles)
    findings: set[Finding] = field(default_factory=set)
    _seen: set[tuple[int, frozenset[str]]] = field(default_factory=set)

    def add(self, code: str, message: str, source: Source, owner: Any, key: Any = None) -> None:
        """A rule has found something, unless a comment silences it there."""
        line, column = line_of(owner, key)
        if not source.is_silenced(code, line):
            self.findings.add(Finding(str(source.path), line, column, code, message))

    def check(self, source: Source, node: Node, inherited: Mapping[str, Given] | None = None) -> None:
        """Check a process and all that it runs."""
        from gridcwl.cwl.lint import tools, workflows

        scope = self.scope_of(source, node, inherited or {})
        key = id(node), frozenset(scope.given)
        if key in self._seen:
            return
        self._seen.add(key)
        self._requirements(scope)
        if node.get("class") == "Workflow":
            workflows.check(self, scope)
        else:
            tools.check(self, scope)

    def scope_of(self, source: Source, node: Node, inherited: Mapping[str, Given]) -> LintScope:
        """A process with what it inherits: requirements go before hints, its own before those around it."""
        own = self.given(source, node)
        given = dict(inherited)
        for name, entry in own.items():
            if entry.required or name not in given or not given[name].required:
                given[name] = entry
        name = str(node.get("id", "")).rpartition("#")[2] or source.path.name
        return LintScope(source, node, name, given, own)

    def given(self, source: Source, node: Node) -> dict[str, Given]:
        """The hints and requirements of a process or step, by class."""
        found: dict[str, Given] = {}
        for name, required in (("hints", False), ("requirements", True)):
            listed = node.get(name)
            if isinstance(listed, Mapping) and "$import" in listed:
                self._imported(source, listed, required, found)
            elif isinstance(listed, Mapping):
                for kind, fields in listed.items():
                    found[_kind(kind)] = Given(fields or {}, required, listed, kind, source)
            elif isinstance(listed, Sequence) and not isinstance(listed, str):
                for number, fields in enumerate(listed):
                    if isinstance(fields, Mapping) and "$import" in fields:
                        self._imported(source, fields, required, found)
                    elif isinstance(fields, Mapping) and "class" in fields:
                        found[_kind(fields["class"])] = Given(fields, required, listed, number, source)
        return found

    def _imported(self, source: Source, node: Node, required: bool, found: dict[str, Given]) -> None:
        target = self.sources.read(source.path.parent / str(node["$import"]))
        if target is None:
            return
        if isinstance(target.root, Mapping) and "class" in target.root:
            found[_kind(target.root["class"])] = Given(target.root, required, target.root, None, target)
            return
        listed: dict[str, Any] = {"requirements": target.root}
        found |= {kind: replace(entry, required=required) for kind, entry in self.given(target, listed).items()}

    def _requirements(self, scope: LintScope) -> None:
        """Rules for requirements of any process."""
        for kind, entry in scope.own.items():
            where = entry.source, entry.owner, entry.key
            if kind == "NetworkAccess" and entry.node.get("networkAccess") not in (False, None):
                self.add("GC110", f"{scope.name} needs the network", *where)
            if kind.endswith("InplaceUpdateRequirement") and entry.node.get("inplaceUpdate") is not False:
                self.add("GC130", f"{scope.name} changes its inputs in place", *where)
            if kind.endswith("LoadListingRequirement") and entry.node.get("loadListing") == "deep_listing":
                self.add("GC131", f"{scope.name} lists everything below its directories", *where)
            if entry.required and ":" in kind and not kind.startswith(_STANDARD_PREFIXES):
                self.add("GC401", f"{scope.name} requires {kind}", *where)
        for number, reference in enumerate(scope.node.get("$schemas") or ()):
            if str(reference).startswith(("http:", "https:")):
                self.add("GC403", f"$schemas names {reference}", scope.source, scope.node["$schemas"], number)
        if "dev" in str(scope.node.get("cwlVersion", "")) or str(scope.node.get("cwlVersion", "")).startswith("draft"):
            self.add("GC402", f"cwlVersion is {scope.node['cwlVersion']}", scope.source, scope.node, "cwlVersion")


def lint(path: Path, fragment: str = "") -> list[Finding]:
    """What the rules find in a valid document, and in the local files that it runs.

    Args:
        path: of the document.
        fragment: the id of one process in it; all of them if empty.
    """
    from gridcwl.cwl.lint.source import process_in, processes

    linter = Linter()
    source = linter.sources.read(path)
    if source is None:
        return []
    chosen = process_in(source.root, fragment) if fragment else None
    for node in [chosen] if chosen is not None else processes(source):
        version = source.root.get("cwlVersion")
        if version is not None and node is not source.root and "dev" in str(version):
            linter.add("GC402", f"cwlVersion is {version}", source, source.root, "cwlVersion")
        linter.check(source, node)
    return sorted(linter.findings)


def _kind(name: Any) -> str:
    text = str(name)
    for prefix in _STANDARD_PREFIXES:
        text = text.removeprefix(prefix)
    return text
