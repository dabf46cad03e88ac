"""Running again what ran: the request of a run or of a crate, without anything that was cached, and what came of it."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from gridcwl.config import private_folder
from gridcwl.errors import ConfigError
from gridcwl.runs.options import Options
from gridcwl.runs.prepared import RunRequest
from gridcwl.runs.provenance.comparing import Comparison, compared
from gridcwl.runs.provenance.packing import is_unchanged, packed_document
from gridcwl.runs.provenance.reading import as_document, open_crate, outputs_of
from gridcwl.runs.record.folder import RunFolder
from gridcwl.runs.record.history import History
from gridcwl.runs.record.journal_rows import JobRow
from gridcwl.runs.session import saved_request

_JOBS = 10


@dataclass(frozen=True, slots=True)
class Rerun:
    """What is to run again, and what it gave."""

    request: RunRequest
    outputs: Any
    notes: tuple[str, ...] = ()
    folder: RunFolder | None = None
    """Of the run; None for a crate."""


def of_run(folder: RunFolder, outdir: Path) -> Rerun:
    """A run again, with its options, its document as it was then, and its inputs.

    Raises:
        ConfigError: it has not succeeded.
        JournalError: it cannot be read.
        DocumentError: its document has been edited since, and is unavailable as it was.
    """
    request = saved_request(folder)
    notes = []
    with closing(History(folder.journal)) as history:
        outputs = history.meta("outputs")
        if outputs is None:
            raise ConfigError(
                f"The run {folder.run} has no outputs to compare with",
                remedy="Choose a run that has succeeded.",
            )
        document = request.options.document
        if not is_unchanged(history):
            notes.append("The document has been edited since; it runs as it was")
            place = folder.path / "rerun" / "packed.cwl"
            private_folder(place.parent)
            place.write_text(json.dumps(packed_document(history), indent=1), encoding="utf-8")
            document = str(place)
        inputs = json.dumps(history.meta("inputs") or {})
    if "***" not in inputs and "(secret" not in inputs:  # else only the words of the user have what is needed
        request = replace(request, text=inputs)
        words: tuple[str, ...] = ("",)
    else:
        words = request.options.words
    options = _without_caches(request.options, document, words, outdir)
    return Rerun(replace(request, options=options, handles_signals=True), outputs, tuple(notes), folder)


def of_crate(path: Path, options: Options, outdir: Path) -> Rerun:
    """What a crate describes, again, with these options.

    Raises:
        ConfigError: it has no outputs to compare with.
        GridCWLError: as ``gridcwl.runs.provenance.reading.as_document``.
    """
    crate = open_crate(path, options.cache_dir)
    document, words = as_document(path, (), options.cache_dir)
    outputs = outputs_of(crate)
    if outputs is None:
        raise ConfigError(f"The crate {path} has no outputs to compare with")
    request = RunRequest(_without_caches(options, document, words, outdir), Path.cwd(), handles_signals=True)
    return Rerun(request, outputs)


def _without_caches(options: Options, document: str, words: tuple[str, ...], outdir: Path) -> Options:
    store = options.store
    if getattr(store.settings, "cache", False):
        import msgspec

        store = replace(store, settings=msgspec.structs.replace(store.settings, cache=False))
    return replace(
        options, document=document, words=words, outdir=outdir, cache=False, store=store, run_name="",
        background=False, overwrite=False, outputs="move", write_summary=None, show=None,
        cwltool=replace(options.cwltool, provenance=None), grid=replace(options.grid, detach=False),
    )  # fmt: skip


def comparisons(rerun: Rerun, outputs: Any) -> list[Comparison]:
    """How each output of the new run compares with that of the first one."""
    return list(compared(rerun.outputs, outputs))


def unstable_jobs(before: RunFolder, after: RunFolder) -> Iterator[str]:
    """Names of the first jobs that read the same and made something else: there the runs began to differ."""
    with closing(History(before.journal)) as first, closing(History(after.journal)) as second:
        found = 0
        for row in second.jobs(where=f"{second.of_run} AND outcome = 'success'"):
            earlier = next(first.jobs(step=row.name, where=f"{first.of_run} AND outcome = 'success'"), None)
            if earlier is None or earlier.key != row.key or _made(first, earlier) == _made(second, row):
                continue
            yield row.name
            found += 1
            if found == _JOBS:
                return


def _made(history: History, row: JobRow) -> list[tuple[str, str | None]]:
    attempts = history.attempts(row.row)
    result = history.result(row.row, attempts[-1].attempt)
    return sorted((file.path, file.sha1) for file in result.files if file.kind == "file")
