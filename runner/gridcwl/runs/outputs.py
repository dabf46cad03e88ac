"""Outputs of a run: published if it succeeded, kept with the run if it failed, copied on request."""

from __future__ import annotations

import asyncio
import logging
import os
import shutil
import stat
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from functools import partial as bound
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, TypeAlias

from gridcwl.cwl.known_outputs import JobOutputs, known_outputs, outputs_of_jobs
from gridcwl.errors import GridCWLError, RunCancelled, StoreError
from gridcwl.model import RunId
from gridcwl.model.objects import changed, entries
from gridcwl.runs.outdir import OutputFolder
from gridcwl.runs.output_names import all_different
from gridcwl.runs.publish import RUN_AGAIN, CwlObject, has_files, lives_elsewhere, local_paths, publish
from gridcwl.stores.local import path_of, uri
from gridcwl.tasks import in_thread as begin_in_thread

if TYPE_CHECKING:
    from gridcwl.cwl.session import CwlSession
    from gridcwl.runs.record.run_record import RunRecord
    from gridcwl.runs.run import Outcomes
    from gridcwl.runs.storing import RunStorage

log = logging.getLogger("gridcwl.runs")

Way: TypeAlias = Literal["move", "copy", "leave"]
"""As cwltool's options of these names: move outputs, copy them and keep the working folder, or leave them there."""


def begin(folder: OutputFolder, session: CwlSession, inputs: Any) -> None:
    """Find conflicts in the output directory before the first job runs, where the names of outputs are known.

    Raises:
        OutputConflict: there is one.
    """
    folder.begin(_known(folder, session, inputs))


def names_of_jobs(session: CwlSession, inputs: Any, jobs: Mapping[str, Sequence[JobOutputs]]) -> list[str]:
    """The names that final outputs of jobs get, with a number where several want the same.

    Args:
        session: of the run.
        inputs: of the run.
        jobs: those that are known, by the path of their step, in the order of the shards.
    """
    outputs = outputs_of_jobs(session.graph, inputs, jobs)
    # As they are published: directories first, then files with secondary files.
    outputs.sort(key=lambda output: (not output.name.endswith("/"), not output.grouped))
    return all_different([output.name for output in outputs])


def check(
    outdir: Path, session: CwlSession, inputs: Any, state_dir: Path, names: Iterable[str], *, overwrite: bool
) -> None:
    """Find conflicts as :func:`begin`, for a run that is only planned. Raises as that."""
    folder = OutputFolder(outdir, RunId(""), session.document.uri, state_dir, overwrite)
    folder.inputs = local_paths(inputs)
    try:
        folder.check(names)
    finally:
        folder.close()


def _known(folder: OutputFolder, session: CwlSession, inputs: Any) -> list[str]:
    """The names of outputs that are known now."""
    try:
        anything = any(True for _ in folder.path.iterdir())
    except OSError:
        anything = False
    if anything:  # only then is it worth to evaluate expressions
        folder.inputs = local_paths(inputs)
    return known_outputs(session.graph, inputs, session.context if anything else None)


async def published(
    outputs: Any,
    inputs: Any,
    folder: OutputFolder,
    record: RunRecord,
    stored: RunStorage,
    session: CwlSession,
    way: Way,
) -> Any:
    """The output object of a run that succeeded, its files kept in the store or in the output directory, or both.

    Raises:
        StoreError: they cannot be published; nothing has changed then.
    """
    if way == "leave":
        return _with_paths(outputs)

    def put(value: Any) -> Any:
        return publish(value, folder.path, record.working, record.run, inputs, folder=folder, copy=way == "copy")

    from gridcwl.runs.storing import with_store_locations

    elsewhere = await stored.publish(outputs, session.context.remote, final=True)
    if not stored.store.download or elsewhere is outputs:
        return await publish_in_thread(folder, put, elsewhere)
    here = await stored.fetched(elsewhere, record.working / "downloaded")
    return with_store_locations(elsewhere, await publish_in_thread(folder, put, here))


async def publish_in_thread(folder: OutputFolder, put: Callable[[Any], Any], value: Any) -> Any:
    """Publish in a thread. When the run is cancelled meanwhile, what was begun is taken back, and this is cancelled.

    What was complete before the cancellation came stays so, and the run has succeeded.
    """
    task = asyncio.current_task()
    work = begin_in_thread(put, value)
    cancelled = 0
    while not work.done():
        try:
            await asyncio.wait([work])
        except asyncio.CancelledError:
            cancelled += 1
            folder.stop.set()
    if cancelled and isinstance(work.exception(), RunCancelled):
        raise asyncio.CancelledError
    for _ in range(cancelled if task is not None else 0):
        task.uncancel()  # type: ignore[union-attr]
    return work.result()


def _with_paths(value: Any) -> Any:
    """The value with the paths of its files on this machine."""

    def with_path(entry: CwlObject) -> None:
        if str(entry.get("location", "")).startswith("file://"):
            entry["path"] = str(path_of(entry["location"]))

    return changed(value, with_path)


async def partial(
    outcomes: Outcomes,
    folder: OutputFolder,
    record: RunRecord,
    stored: RunStorage,
    session: CwlSession,
    *,
    public: bool,
) -> Any:
    """The output object of a run that failed. What there is stays with the run, and replaces nothing.

    Args:
        outcomes: of the run.
        folder: where outputs would have gone.
        kept: the run.
        stored: its files in the store.
        session: the document.
        public: put everything into a folder of its own in the output directory.
    """
    outputs: Any = dict(outcomes.outputs)
    outputs = await stored.publish(outputs, session.context.remote, final=False)
    whole = {"outputs": outputs, "failed": list(_left(outcomes.partial_outputs))}
    try:
        if public:
            whole = await stored.fetched(whole, record.working / "downloaded")
        whole = await publish_in_thread(folder, bound(_put_partial, folder, record, public=public), whole)
    except GridCWLError as error:
        log.warning("The outputs of finished steps could not be collected: %s", error)
        return outputs
    where = folder.path / f"partial-{record.run}" if public else record.working / "partial"
    record.journal.describe({"partial": whole | {"folder": str(where)} if has_files(whole) else None})
    return whole["outputs"]


def _put_partial(folder: OutputFolder, record: RunRecord, whole: Any, *, public: bool) -> Any:
    if public:
        own = replace(folder, path=folder.path / f"partial-{record.run}")
        return publish(whole, own.path, record.working, record.run, folder=own)
    shutil.rmtree(record.working / "partial", ignore_errors=True)  # of an earlier session
    return publish(whole, record.working / "partial", record.working, record.run)


def _left(left: Mapping[str, Any]) -> Iterator[CwlObject]:
    """A folder for each failed job, with the files that it left; empty ones are left out."""
    for number, (job, outputs) in enumerate(left.items()):
        if listing := list(_worth_keeping(outputs)):
            basename = f"failed-{job.replace('/', '_')}"
            yield {"class": "Directory", "location": f"_:failed-{number}", "basename": basename, "listing": listing}


def _worth_keeping(value: Any) -> Iterator[CwlObject]:
    if isinstance(value, list):
        for item in value:
            yield from _worth_keeping(item)
    elif isinstance(value, dict):
        if value.get("class") == "Directory" or (value.get("class") == "File" and value.get("size") != 0):
            if str(value.get("location", "")).startswith(("file://", "_:")):
                yield value
        elif "class" not in value:
            for item in value.values():
                yield from _worth_keeping(item)


def output_folder(outdir: Path, session: CwlSession, record: RunRecord, *, overwrite: bool) -> OutputFolder:
    """The output directory of a run."""
    return OutputFolder(outdir, record.run, session.document.uri, record.folder.path.parents[1], overwrite)


def copy_published(outputs: Any, folder: OutputFolder, working: Path, inputs: Any) -> Any:
    """Copy what a run has published to another output directory: all of it or nothing, by the rules of publication.

    Args:
        outputs: the recorded output object; not changed.
        folder: where the copies go.
        working: the run's working folder.
        inputs: the input object: no copy takes the place of an input.

    Returns:
        The output object with the locations of the copies. What is only in Rucio, or at a URL, stays there.

    Raises:
        OutputConflict: something is in the way.
        StoreError: a file is missing or was changed, there is no room, or no permission.
    """
    here = _on_this_machine(outputs)
    _check_copied(here)
    if not any(True for _ in _local(here)):
        log.warning("The run has no output files on this machine: nothing is copied to %s", folder.path)
        return outputs
    made = publish(here, folder.path, working, folder.run, inputs, folder=folder, copy=True, recorded=True)
    if not any(lives_elsewhere(entry) for entry in entries(outputs)):
        return made
    from gridcwl.runs.storing import with_store_locations

    return with_store_locations(outputs, made)


def _on_this_machine(outputs: Any) -> Any:
    """The output object with the files that were downloaded from Rucio where they were put."""

    def here(entry: dict[str, Any]) -> None:
        if lives_elsewhere(entry) and entry.get("path"):
            entry["location"] = uri(Path(str(entry["path"])))

    return changed(outputs, here)


def _local(outputs: Any) -> Iterator[dict[str, Any]]:
    return (entry for entry in entries(outputs) if str(entry.get("location", "")).startswith("file://"))


def _check_copied(outputs: Any) -> None:
    """See that all files are there with their sizes; their checksums are compared when they are copied.

    Raises:
        StoreError: one is not; all are named by the first.
    """
    wrong = [reason for entry in _local(outputs) if (reason := _difference(entry))]
    if wrong:
        more = f"; {len(wrong) - 1} more are missing or were changed" if len(wrong) > 1 else ""
        raise StoreError(f"{wrong[0]}{more}", remedy=RUN_AGAIN)


def _difference(entry: dict[str, Any]) -> str:
    path = path_of(str(entry["location"]))
    try:
        about = os.stat(path)  # noqa: PTH116  called for every file of a run
    except OSError:
        return f"The output {path} is missing"
    if entry["class"] == "Directory":
        return "" if stat.S_ISDIR(about.st_mode) else f"The output {path} is no directory any more"
    same = stat.S_ISREG(about.st_mode) and about.st_size == entry.get("size", about.st_size)
    return "" if same else f"The output {path} was changed since it was published"
