"""Reports of runs: what ran where, what it requested and used, what failed, and where results came from.

``gather`` reads the journal into the values of ``model``; ``page``, ``trace`` and the pictures only show them.
"""

from __future__ import annotations

import base64
import os
import time
from collections.abc import Iterator, Mapping
from contextlib import closing
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, Literal, get_args

from gridcwl.errors import ConfigError, GridCWLError, OutputError
from gridcwl.runs.record.folder import RunFolder
from gridcwl.runs.record.history import History
from gridcwl.runs.record.journal_check import explained_damage
from gridcwl.runs.report.gather import gathered
from gridcwl.runs.report.model import Listed, RunDetails, Spread, StepUsage

Format = Literal["html", "tsv", "json"]
FORMATS: tuple[str, ...] = get_args(Format)
FORMAT = "gridcwl-report/1"
_REFRESH_S = 30


@dataclass(frozen=True, slots=True)
class Report:
    """A report of a run, as it stood when it was made. In Jupyter it shows itself."""

    _folder: RunFolder
    _details: RunDetails

    def __repr__(self) -> str:
        return f"<gridcwl.Report of {self._folder.run}>"

    @property
    def steps(self) -> tuple[StepUsage, ...]:
        """What the jobs of each step requested and used."""
        return self._details.steps

    @property
    def suggestions(self) -> tuple[str, ...]:
        """What to request instead, in words."""
        return self._details.suggestions

    def html(self) -> str:
        """The report as one HTML page."""
        from gridcwl.runs.report.page import page

        active = self._details.about["state"] in ("running", "detached")
        return page(self._details, refresh_s=_REFRESH_S if active else None)

    def json(self) -> str:
        """The report as JSON, with every job."""
        return "".join(self.parts("json"))

    def tsv(self) -> str:
        """One row for each job; see :mod:`gridcwl.runs.report.trace`."""
        return "".join(self.parts("tsv"))

    def parts(self, form: str) -> Iterator[str]:
        """The report in this format, piece by piece: the jobs of a large run need not be in memory."""
        from gridcwl.runs.report.trace import json_parts, row_of, tsv_lines

        if form == "html":
            yield self.html()
            return
        with explained_damage(self._folder), closing(History(self._folder.journal)) as history:
            images = history.images()
            rows = (row_of(record, lambda common: images.get(common, "")) for record in history.records())
            yield from tsv_lines(rows) if form == "tsv" else json_parts(_plain(self._details), rows)

    def save(self, path: str | Path, form: Format | None = None) -> Path:
        """Write the report to a file, which is replaced if it is there.

        Args:
            path: of the file.
            form: ``html``, ``tsv`` or ``json``; by the name's ending if not given, else ``html``.

        Raises:
            OutputError: it cannot be written.
        """
        path = Path(path)
        chosen = form or (path.suffix[1:] if path.suffix[1:] in FORMATS else "html")
        if chosen not in FORMATS:
            raise ConfigError(f"{chosen} is not a format of reports", remedy=f"It is one of {', '.join(FORMATS)}.")
        unfinished = path.with_name(f".{path.name}.{os.getpid()}")
        try:
            with unfinished.open("w", encoding="utf-8", errors="backslashreplace") as file:
                file.writelines(self.parts(chosen))
            unfinished.replace(path)
        except OSError as error:
            raise OutputError(f"The report cannot be written to {path}: {error.strerror}") from error
        finally:
            unfinished.unlink(missing_ok=True)
        return path

    def _repr_html_(self) -> str:
        """For Jupyter: the page in a frame of its own, whose styles stay there."""
        text = base64.b64encode(self.html().encode("utf-8", "backslashreplace")).decode("ascii")
        return f'<iframe src="data:text/html;base64,{text}" style="width: 100%; height: 640px; border: 0"></iframe>'


def report_of(folder: RunFolder) -> Report:
    """The report of a run, from its record only.

    Raises:
        JournalError: the record cannot be read.
    """
    with explained_damage(folder), closing(History(folder.journal)) as history:
        return Report(folder, gathered(folder, history, time.time()))


async def report_with_replicas(folder: RunFolder) -> Report:
    """The same with what the run's store holds of it now; a note where that does not answer.

    Raises:
        JournalError: the record cannot be read.
    """
    import asyncio

    from gridcwl.runs.record.data import replicas_of, stored_data

    report = await asyncio.to_thread(report_of, folder)
    with explained_damage(folder), closing(History(folder.journal)) as history:
        try:
            found = await stored_data(history)
            details = report._details
            files = (*details.inputs.files, *details.outputs.files)
            known = await replicas_of([file.place for file in files])
        except GridCWLError as error:
            note = f"The run's store could not be queried: {error.message}."
            return replace(report, _details=replace(report._details, notes=(note,)))
    inputs, outputs = _with_replicas(details.inputs, known), _with_replicas(details.outputs, known)
    return replace(report, _details=replace(details, stored=found, inputs=inputs, outputs=outputs))


def _with_replicas(listed: Listed, known: Mapping[str, tuple[str, ...]]) -> Listed:
    files = tuple(replace(file, replicas=known.get(file.place, ())) for file in listed.files)
    return replace(listed, files=files) if known else listed


def _plain(run: RunDetails) -> dict[str, Any]:
    """The report for machines, without the jobs."""
    return {
        "format": FORMAT,
        **{name: value for name, value in run.about.items() if name not in ("seconds",)},
        "seconds": run.about.get("seconds"),
        "read_at": run.at,
        "backend": run.backend,
        "store": run.store,
        "version": run.version,
        "suggestions": list(run.suggestions),
        "steps": [_step(step) for step in run.steps],
        "failures": [asdict(failure) for failure in run.failures],
        "inputs": asdict(run.inputs),
        "outputs": asdict(run.outputs),
        "reused_from": dict(run.origins),
        "stored": run.stored.plain() if run.stored is not None else None,
        "notes": list(run.notes),
    }


def _step(step: StepUsage) -> dict[str, Any]:
    plain = asdict(step)
    return {name: plain[name] for name in plain if not isinstance(getattr(step, name), Spread)} | {
        "used": {name: plain[name] for name in plain if isinstance(getattr(step, name), Spread)}
    }


__all__ = ["FORMATS", "Format", "Report", "report_of", "report_with_replicas"]
