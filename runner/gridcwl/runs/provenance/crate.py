"""A run as a Provenance Run Crate 0.5 on RO-Crate 1.1, written from its journal, job by job.

https://www.researchobject.org/workflow-run-crate/profiles/0.5/provenance_run_crate
"""

from __future__ import annotations

import hashlib
import json
import logging
import os
import pwd
import re
import shutil
import tempfile
import zipfile
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, closing
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import gridcwl
from gridcwl.errors import GridCWLError, StoreError
from gridcwl.model.objects import changed, entries
from gridcwl.runs.options import from_plain
from gridcwl.runs.provenance import ctapipe
from gridcwl.runs.provenance.actions import ACTIVE, DONE, FAILED, JobFacts, action_id, image_in, iso, job_action, times
from gridcwl.runs.provenance.crate_options import METADATA, CrateOptions, check_orcid, check_target
from gridcwl.runs.provenance.description import PACKED, DescribedTool, PackedDocument, described
from gridcwl.runs.provenance.graph import Entity, Graph
from gridcwl.runs.provenance.packing import packed_document, selected
from gridcwl.runs.provenance.payload import Payload
from gridcwl.runs.record.bindings import Binding
from gridcwl.runs.record.folder import RunFolder
from gridcwl.runs.record.history import History
from gridcwl.runs.record.journal_rows import JobRow
from gridcwl.runs.reuse.checksums import local_path
from gridcwl.worker.failure import crossed_out

log = logging.getLogger("gridcwl.runs")

VERSION = "0.5"
_PROFILES = (
    (f"https://w3id.org/ro/wfrun/process/{VERSION}", "Process Run Crate", VERSION),
    (f"https://w3id.org/ro/wfrun/workflow/{VERSION}", "Workflow Run Crate", VERSION),
    (f"https://w3id.org/ro/wfrun/provenance/{VERSION}", "Provenance Run Crate", VERSION),
    ("https://w3id.org/workflowhub/workflow-ro-crate/1.0", "Workflow RO-Crate", "1.0"),
)
_ENGINE = "https://pypi.org/project/gridcwl/"
INPUTS, OUTPUTS = "primary-job.json", "primary-output.json"
_INDEX = re.compile(r"\[([0-9,]+)\]")
_STRANGE = re.compile(r"[^A-Za-z0-9._/+-]")


@dataclass(frozen=True, slots=True)
class Written:
    """What a crate has."""

    path: Path
    actions: int
    embedded: int
    referenced: int
    missing: int


def write_crate(folder: RunFolder, target: Path, options: CrateOptions) -> Written:
    """Write the crate of a run: into a folder, or into a file whose name ends with ``.zip``.

    Args:
        folder: of the run.
        target: where the crate goes.
        options: how it is written.

    Raises:
        ConfigError: the target exists, or the ORCID is none.
        DocumentError: the run's document cannot be packed.
        StoreError: the journal cannot be read, or the crate cannot be written.
    """
    check_target(target, folder.run if options.again else "")
    if options.orcid:
        check_orcid(options.orcid)
    with ExitStack() as stack:
        try:
            place = target.parent
            place.mkdir(parents=True, exist_ok=True)
            work = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix=".gridcwl-crate-", dir=place)))
            history = stack.enter_context(closing(History(folder.journal)))
            graph = stack.enter_context(Graph(work / "graph.db"))
            made = work / "crate"
            made.mkdir()
            writer = _Writer(folder, history, graph, made, options)
            writer.write()
            _put(made, target)
        except OSError as error:
            raise StoreError(f"The crate {target} cannot be written: {error.strerror or error}") from error
    counts = writer.payload.counts
    return Written(target, writer.actions, counts["embedded"], counts["referenced"], counts["missing"])


def _put(made: Path, target: Path) -> None:
    if target.suffix != ".zip":
        made.chmod(0o777 & ~_umask())
        if target.exists():
            target.rename(made.with_suffix(".replaced"))
        made.rename(target)
        return
    unfinished = made.with_suffix(".zip")
    with zipfile.ZipFile(unfinished, "w", zipfile.ZIP_DEFLATED, strict_timestamps=False) as archive:
        for path in sorted(made.rglob("*")):
            archive.write(path, path.relative_to(made))
    shutil.move(unfinished, target)


def _umask() -> int:
    mask = os.umask(0o077)
    os.umask(mask)
    return mask


@dataclass(slots=True)
class _Span:
    """When the jobs of a workflow began and ended."""

    start: float
    end: float


@dataclass(slots=True)
class _Writer:
    folder: RunFolder
    history: History
    graph: Graph
    root: Path
    options: CrateOptions
    actions: int = 0
    logs: dict[str, str] = field(init=False, default_factory=dict)
    """Copies of ctapipe's logs that are in a store only."""
    payload: Payload = field(init=False)
    document: PackedDocument = field(init=False)
    packed: Entity = field(init=False)
    """What is known of the bytes of the document."""
    executed: set[str] = field(init=False, default_factory=set)
    spans: dict[str, _Span] = field(init=False, default_factory=dict)
    """By the names of workflow instances; the run itself has none."""

    def __post_init__(self) -> None:
        self.payload = Payload(
            self.graph, self.root, self.options.data, self.options.limit, self.history.moved,
            _copies(self.history, self.root.parent / "copies") if self.options.data == "embed" else {},
            self.options.removed,
        )  # fmt: skip
        if not self.payload.copies and self.history.has_registered:
            self.logs = _logs(self.history, self.root.parent / "logs")

    def write(self) -> None:
        """Write everything."""
        self._document()
        whole = self._whole()
        self._bound(self.document.root, whole, "inputs", inputs=True)
        for facts, binding in self._jobs():
            self._job(facts, binding)
        for evaluation in self.history.evaluations():
            if evaluation.name:
                self._evaluation(evaluation)
        self._run(whole)
        for entity in self.document.entities(self.executed):
            if entity["@id"] == PACKED:
                self.graph.add(entity | self.packed, part=True)
            else:
                self.graph.add(entity)
        with (self.root / METADATA).open("w", encoding="utf-8") as stream:
            self.graph.write(stream, self._long_entities())

    # -- the document --------------------------------------------------------------------------------------------------

    def _document(self) -> None:
        packed = _without_passwords(packed_document(self.history))
        packed = selected(packed, from_plain(self.history.meta("options")), self.history.meta("inputs") or {})
        self.document = described(packed)
        portable = changed(packed, self._own_file)
        for part in portable.get("$graph", [portable]):
            if "$schemas" in part:
                part["$schemas"] = [self._schema(one) for one in part["$schemas"]]
        if "$schemas" in portable:
            portable["$schemas"] = [self._schema(one) for one in portable["$schemas"]]
        self.packed = self._text(PACKED, json.dumps(portable, indent=4))

    def _own_file(self, entry: Entity) -> Entity | None:
        """A file that the document itself names, at its place in the crate."""
        location = str(entry.get("location") or entry.get("path") or "")
        if "$(" in location or "${" in location or (not location and "contents" not in entry):
            return None
        if not location.startswith("file://"):
            return None
        self.payload.entry({"basename": os.path.basename(location), **entry, "location": location}, "document")  # noqa: PTH119
        made: Entity = self.payload.relocated(entry)
        return made

    def _schema(self, name: str) -> str:
        if not name.startswith("file://"):
            return name
        found = self.payload.entry({"class": "File", "location": name}, "document")
        return found.rstrip("/")

    # -- values --------------------------------------------------------------------------------------------------------

    def _whole(self) -> Binding:
        """The inputs and outputs of the run itself."""
        if self.document.single:
            row = next(iter(self.history.jobs(where=self.history.of_run, newest_first=True)), None)
            found = self.history.binding(row) if row is not None else None
            found = found or next(self.history.evaluations(), None)
        else:
            found = next(self.history.evaluations(""), None)
        inputs = found.inputs if found is not None else self.history.meta("inputs") or {}
        outputs = found.outputs if found is not None else self.history.meta("outputs")
        return Binding("", "", "workflow", None, inputs, outputs)

    def _bound(self, tool: DescribedTool, binding: Binding, folder: str, *, inputs: bool) -> list[Entity]:
        """References to the values of an action's parameters."""
        values = binding.inputs if inputs else binding.outputs or {}
        parameters = tool.inputs if inputs else tool.outputs
        found = []
        for name, value in values.items():
            if name in parameters and (id_ := self.payload.bind(value, parameters[name], folder)) is not None:
                found.append(id_)
        return [{"@id": id_} for id_ in dict.fromkeys(found)]

    # -- jobs ----------------------------------------------------------------------------------------------------------

    def _jobs(self) -> Iterator[tuple[JobFacts, Binding | None]]:
        for row in self.history.jobs(where=f"{self.history.of_run} AND outcome IS NOT NULL AND outcome <> 'cancelled'"):
            attempts = self.history.attempts(row.row)
            if attempts:
                last = attempts[-1]
                image = image_in(self.history.description(row.row).common)
                result = self.history.result(row.row, last.attempt)
                yield JobFacts(row, last, result, image), self.history.binding(row)

    def _job(self, facts: JobFacts, binding: Binding | None) -> None:
        found = self.document.find(facts.row.step)
        if found is None:
            return
        step, tool = found
        made, more = job_action(facts, tool.id)
        if not self.options.host and facts.result.usage is not None and not facts.result.usage.site:
            made.pop("location", None)
            more = [one for one in more if one["@type"] != "Place"]
        folder = folder_of(facts.row.name)
        if binding is not None:
            made["object"] = self._bound(tool, binding, folder, inputs=True)
            made["result"] = self._bound(tool, binding, folder, inputs=False)
            made |= self._ctapipe(made["@id"], binding)
        for one in more:
            self.graph.add(one)
        self._span(facts.row, *times(facts))
        self._action(made, step.id, tool)

    def _ctapipe(self, action: str, binding: Binding) -> Entity:
        """What ctapipe's own log says, where the job has left one."""
        facts: list[Entity] = []
        logs: list[str | None] = []
        for entry in entries(binding.outputs or {}, "File"):
            if not ctapipe.is_log(str(entry.get("basename", ""))):
                continue
            location = str(entry.get("location", ""))
            path = self._path(location)
            found = ctapipe.activities(path) if path is not None else ctapipe.kept(location, self.folder.tool_logs)
            if found:
                facts += ctapipe.properties(f"{action}/{len(logs)}" if logs else action, found)
                logs.append(self.graph.place(str(entry["location"]).rstrip("/")))
        for one in facts:
            self.graph.add(one)
        if not facts:
            return {}
        subject = [{"@id": log} for log in logs if log]
        return {"additionalProperty": [{"@id": one["@id"]} for one in facts], "subjectOf": subject}

    def _path(self, location: str) -> Path | None:
        for url in (location, self.history.moved(location), self.payload.copies.get(location), self.logs.get(location)):
            path = local_path(url) if url else None
            if path is not None and os.path.isfile(path):  # noqa: PTH113
                return Path(path)
        return None

    def _action(self, made: Entity, step: str, tool: DescribedTool) -> None:
        if agent := self._agent():
            made["agent"] = {"@id": agent["@id"]}
            self.graph.add(agent)
        self.graph.add(made)
        self.graph.append("mentions", made["@id"])
        self.graph.append(f"step {step}", made["@id"])
        self.executed.add(tool.id)
        self.actions += 1

    def _span(self, row: JobRow, start: float, end: float) -> None:
        parts = row.name.split("/")
        for depth in range(len(parts)):
            name = "/".join(parts[:depth])
            span = self.spans.setdefault(name, _Span(start, end))
            span.start, span.end = min(span.start, start), max(span.end, end)

    def _evaluation(self, binding: Binding) -> None:
        """An expression, or an instance of a sub-workflow."""
        found = self.document.find(binding.step)
        if found is None:
            return
        step, tool = found
        span = self.spans.get(binding.name)
        made: Entity = {
            "@id": action_id(binding.name),
            "@type": "CreateAction",
            "name": f"Run of {binding.name}",
            "description": "Evaluated by gridcwl." if binding.kind == "expression" else "A workflow within the run.",
            "instrument": {"@id": tool.id},
            "startTime": iso(span.start if span is not None else binding.at),
            "endTime": iso(span.end if span is not None else binding.at),
            "actionStatus": FAILED if binding.outputs is None else DONE,
        }
        folder = folder_of(binding.name)
        made["object"] = self._bound(tool, binding, folder, inputs=True)
        made["result"] = self._bound(tool, binding, folder, inputs=False)
        if binding.outputs is None:
            made["error"] = "A step of it failed." if binding.kind == "workflow" else "It failed."
        self._action(made, step.id, tool)

    # -- the run -------------------------------------------------------------------------------------------------------

    def _run(self, whole: Binding) -> None:
        sessions = self.history.sessions()
        status = self.history.current_status()
        root = self.document.root
        made: Entity = {
            "@id": action_id(""),
            "@type": "CreateAction",
            "name": f"Run of {root.written.get('label') or self._title()}",
            "description": f"gridcwl's run {self.folder.run}" + (f", {self.folder.name}." if self.folder.name else "."),
            "identifier": self.folder.run,
            "instrument": {"@id": root.id},
            "startTime": iso(sessions[0].started),
            "endTime": iso(sessions[-1].ended),
            "actionStatus": {"success": DONE, "running": ACTIVE, "detached": ACTIVE}.get(status, FAILED),
            "object": self._bound(root, whole, "inputs", inputs=True),
            "result": self._bound(root, whole, "outputs", inputs=False),
        }
        if made["actionStatus"] == FAILED:
            made["error"] = sessions[-1].message or f"The run was {status}."
        if agent := self._agent():
            made["agent"] = {"@id": agent["@id"]}
            self.graph.add(agent)
        self.graph.add(made)
        self.graph.append("mentions", made["@id"])
        self.actions += 1
        self._object(INPUTS, "input object document", whole.inputs)
        if whole.outputs is not None:
            self._object(OUTPUTS, "output object document", whole.outputs)
        self.graph.add(
            {
                "@id": _ENGINE,
                "@type": "SoftwareApplication",
                "name": "gridcwl",
                "url": {"@id": _ENGINE},
                "softwareVersion": self.history.version() or gridcwl.__version__,
            }
        )
        for id_, name, version in self._profiles():
            self.graph.add({"@id": id_, "@type": "CreativeWork", "name": name, "version": version})

    def _object(self, name: str, title: str, values: Mapping[str, Any]) -> None:
        """An input or output object with its files as they are in the crate."""
        about = self._text(name, json.dumps(self.payload.relocated(dict(values)), indent=4))
        made = {"@id": name, "@type": "File", "name": title, "encodingFormat": "application/json"}
        self.graph.add(made | about, part=True)

    def _text(self, name: str, text: str) -> Entity:
        """Write a file of the crate's own; returns what is known of its bytes."""
        data = text.encode("utf-8", "surrogateescape")
        (self.root / name).write_bytes(data)
        sha1 = hashlib.sha1(data, usedforsecurity=False).hexdigest()
        return {"sha1": sha1, "contentSize": str(len(data))}

    def _profiles(self) -> tuple[tuple[str, str, str], ...]:
        """A run in which no tool ran is no Provenance Run Crate: that has an action of a tool."""
        return _PROFILES if self.executed else tuple(one for one in _PROFILES if "/provenance/" not in one[0])

    def _title(self) -> str:
        return Path(str(self.history.meta("document") or "the document")).name

    def _agent(self) -> Entity | None:
        options = self.options
        if options.orcid:
            return {"@id": check_orcid(options.orcid), "@type": "Person", "name": options.full_name or options.orcid}
        if options.full_name:
            return {"@id": "#agent", "@type": "Person", "name": options.full_name}
        if not options.user:
            return None
        try:
            account = pwd.getpwuid(self.folder.journal.stat().st_uid).pw_name
        except (KeyError, OSError):
            return None
        return {"@id": "#agent", "@type": "Person", "name": account}

    def _long_entities(self) -> Iterator[tuple[Entity, Mapping[str, Iterator[str]]]]:
        sessions = self.history.sessions()
        when = iso(sessions[-1].ended or sessions[-1].started)
        name = f"Run of {self.document.root.written.get('label') or self._title()}"
        root = {
            "@id": "./",
            "@type": "Dataset",
            "name": name,
            "description": f"{name} by gridcwl, {self.folder.run}",
            "datePublished": when,
            "license": {"@id": self.options.license} if "://" in self.options.license else self.options.license,
            "conformsTo": [{"@id": id_} for id_, _, _ in self._profiles()],
            "mainEntity": {"@id": PACKED},
        }
        yield root, {"hasPart": self.graph.parts(), "mentions": self.graph.items("mentions")}
        steps = [owner for owner in self.graph.owners() if owner.startswith("step ")]
        if not steps:
            return
        for owner in steps:
            step = owner.removeprefix("step ")
            control = {
                "@id": _control(owner),
                "@type": "ControlAction",
                "name": f"orchestrate {step.partition('#')[2]}",
                "instrument": {"@id": step},
            }
            yield control, {"object": self.graph.items(owner)}
        organize = {
            "@id": "#engine",
            "@type": "OrganizeAction",
            "name": "Run of gridcwl",
            "instrument": {"@id": _ENGINE},
            "startTime": iso(sessions[0].started),
            "result": {"@id": action_id("")},
        }
        if end := iso(sessions[-1].ended):
            organize["endTime"] = end
        if agent := self._agent():
            organize["agent"] = {"@id": agent["@id"]}
        yield organize, {"object": iter([_control(owner) for owner in steps])}


def _without_passwords(value: Any) -> Any:
    """A document in which URLs have no passwords and tokens."""
    if isinstance(value, list):
        return [_without_passwords(item) for item in value]
    if isinstance(value, dict):
        return {key: _without_passwords(item) for key, item in value.items()}
    return crossed_out(value) if isinstance(value, str) else value


def _control(owner: str) -> str:
    return f"#control/{owner.partition('#')[2]}"


def folder_of(name: str) -> str:
    """The folder in a crate for the files of a job: ``data/align/sort.3`` for ``align/sort[3]``."""
    text = _STRANGE.sub("_", _INDEX.sub(lambda found: "." + found[1].replace(",", "."), name))
    return "/".join(["data", *(part if part.strip(".") else "_" for part in text.split("/"))])


def _copies(history: History, folder: Path) -> dict[str, str]:
    """Copies of the files of a run that are in a store only."""
    from gridcwl.runs.provenance.stored import copied, stored_locations

    return copied(stored_locations(history), folder)


def _logs(history: History, folder: Path) -> dict[str, str]:
    """Copies of ctapipe's logs that are in a store only; none if it does not give them."""
    from gridcwl.runs.provenance.stored import copied, stored_locations

    try:
        return copied([url for url in stored_locations(history) if ctapipe.is_log(url.rpartition("/")[2])], folder)
    except GridCWLError as error:
        log.warning("Logs of ctapipe are not in the crate: %s", error.message)
        return {}
