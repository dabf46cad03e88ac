"""UWS's XML documents, by vo-models, of jobs and runs."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from pydantic_xml import BaseXmlModel, element
from vo_models.uws import Jobs, JobSummary, Parameter, ResultReference, Results, ShortJobDescription
from vo_models.uws.models import NSMAP, ErrorSummary
from vo_models.uws.types import ErrorType, ExecutionPhase

from gridcwl.service.db import StoredRun
from gridcwl.service.states import State
from gridcwl.service.uws.store import UwsJob, UwsState

_PHASES = {
    State.UNKNOWN: ExecutionPhase.UNKNOWN,
    State.QUEUED: ExecutionPhase.QUEUED,
    State.INITIALIZING: ExecutionPhase.EXECUTING,
    State.RUNNING: ExecutionPhase.EXECUTING,
    State.CANCELING: ExecutionPhase.EXECUTING,
    State.PAUSED: ExecutionPhase.SUSPENDED,
    State.COMPLETE: ExecutionPhase.COMPLETED,
    State.EXECUTOR_ERROR: ExecutionPhase.ERROR,
    State.SYSTEM_ERROR: ExecutionPhase.ERROR,
    State.CANCELED: ExecutionPhase.ABORTED,
    State.PREEMPTED: ExecutionPhase.ABORTED,
}
CHANGING = (ExecutionPhase.PENDING, ExecutionPhase.QUEUED, ExecutionPhase.EXECUTING, ExecutionPhase.SUSPENDED)
"""Phases that another one follows."""
WAITING = CHANGING[:3]
"""Phases in which a request may wait for the next, https://www.ivoa.net/documents/UWS/ 2.2.1.1."""


class WorkflowParameters(BaseXmlModel, tag="parameters", ns="uws", nsmap=NSMAP):
    """Parameters whose names a document decides."""

    parameters: list[Parameter] = element(tag="parameter", default_factory=list)


@dataclass(frozen=True, slots=True)
class Found:
    """A job as UWS shows it: one that UWS created, a run, or both."""

    id: str
    job: UwsJob | None
    run: StoredRun | None

    @property
    def phase(self) -> ExecutionPhase:
        """Its phase."""
        if self.run is not None:
            return _PHASES[self.run.state]
        aborted = self.job is not None and self.job.state is UwsState.ABORTED
        return ExecutionPhase.ABORTED if aborted else ExecutionPhase.PENDING

    @property
    def owner(self) -> str:
        """Whose it is."""
        return self.run.owner if self.run is not None else self.job.owner if self.job is not None else ""

    @property
    def created(self) -> float:
        """Seconds since 1970."""
        return self.job.created if self.job is not None else self.run.created if self.run is not None else 0.0

    @property
    def label(self) -> str | None:
        """The client's name for it."""
        if self.job is not None:
            return self.job.label or None
        return (self.run.tags.get("name") if self.run is not None else None) or None


def job_document(found: Found, parameters: Mapping[str, Iterable[str]], outputs: Mapping[str, Any], link: str) -> bytes:
    """The document of a job.

    Args:
        found: the job.
        parameters: its inputs, as texts.
        outputs: of its run, with URLs.
        link: the URL of its whole output object.
    """
    run = found.run
    summary = JobSummary[WorkflowParameters](
        job_id=found.id,
        run_id=characters(found.label or "") or None,
        owner_id=characters(found.owner),
        phase=found.phase,
        creation_time=_time(found.created),
        start_time=_time(run.started if run else None),
        end_time=_time(run.ended if run else None),
        execution_duration=0,
        parameters=parameters_of(parameters),
        results=results_of(outputs, link),
        error_summary=_error(run),
    )
    return _written(summary)


def parameters_document(parameters: Mapping[str, Iterable[str]]) -> bytes:
    """The document of a job's parameters."""
    return _written(parameters_of(parameters))


def results_document(outputs: Mapping[str, Any], link: str) -> bytes:
    """The document of a job's results."""
    return _written(results_of(outputs, link))


def jobs_document(found: Iterable[Found], link: str) -> bytes:
    """The document of a list of jobs; ``link`` is the list's URL."""
    return _written(
        Jobs(
            jobref=[
                ShortJobDescription(
                    job_id=one.id,
                    href=f"{link}/{one.id}",
                    phase=one.phase,
                    run_id=characters(one.label or "") or None,
                    owner_id=characters(one.owner),
                    creation_time=_time(one.created),
                )
                for one in found
            ]
        )
    )


def parameters_of(parameters: Mapping[str, Iterable[str]]) -> WorkflowParameters:
    """Inputs as UWS's parameters; one with several values several times."""
    return WorkflowParameters(
        parameters=[
            Parameter(id=characters(name), value=characters(text))
            for name, texts in parameters.items()
            for text in texts
        ]
    )


def results_of(outputs: Mapping[str, Any], link: str) -> Results:
    """Files of an output object by the names of their outputs; the whole object as the result ``outputs``."""
    if not outputs:
        return Results(results=[])
    made = [ResultReference(id="outputs", href=link, mime_type="application/json")]
    for name, value in outputs.items():
        files = list(_files(value))
        for number, file in enumerate(files, 1):
            id_ = name if len(files) == 1 else f"{name}_{number}"
            size = file.get("size")
            made.append(
                ResultReference(
                    id=id_ if id_ != "outputs" else "outputs_",
                    href=str(file["location"]),
                    size=size if isinstance(size, int) else None,
                )
            )
    return Results(results=made)


def _files(value: Any) -> Iterator[Mapping[str, Any]]:
    if isinstance(value, list):
        for item in value:
            yield from _files(item)
    elif isinstance(value, Mapping):
        if value.get("class") == "File":
            if value.get("location"):
                yield value
            yield from _files(value.get("secondaryFiles") or [])
        elif value.get("class") == "Directory":
            yield from _files(value.get("listing") or [])
        else:
            yield from _files(list(value.values()))


def _error(run: StoredRun | None) -> ErrorSummary | None:
    if run is None or run.state not in (State.EXECUTOR_ERROR, State.SYSTEM_ERROR):
        return None
    fatal = run.state is State.EXECUTOR_ERROR
    kind = ErrorType.FATAL if fatal else ErrorType.TRANSIENT
    message = run.message.strip() or "The run failed"
    return ErrorSummary(message=characters(message), type=kind, has_detail=True)


def characters(text: str) -> str:
    """What XML can hold; other characters as they are written in Python."""
    return "".join(sign if sign.isprintable() or sign in "\n\t" else f"\\x{ord(sign):02x}" for sign in text)


def _time(seconds: float | None) -> Any:
    return None if seconds is None else datetime.fromtimestamp(int(seconds * 1000) / 1000, UTC)


def _written(document: BaseXmlModel) -> bytes:
    # without empty elements endTime and destruction are missing, and the document is not valid
    made = document.to_xml(skip_empty=False, encoding="utf-8", standalone=True)
    return made if isinstance(made, bytes) else made.encode()
