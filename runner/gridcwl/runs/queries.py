"""What is recorded of a run, for the methods of the API's runs. Each call opens the journal, and closes it again."""

from __future__ import annotations

from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING

from gridcwl.runs.record.explain import Answer
from gridcwl.runs.record.folder import RunFolder
from gridcwl.runs.record.logs import JobLog
from gridcwl.runs.record.status import RunStatus

if TYPE_CHECKING:
    from gridcwl.runs.provenance.crate_options import CrateOptions
    from gridcwl.runs.record.job_records import JobRecord


def exported(folder: RunFolder, crate: str | Path, options: CrateOptions | None) -> Path:
    """See ``Run.export``."""
    from gridcwl.runs.provenance.crate import write_crate
    from gridcwl.runs.provenance.crate_options import CrateOptions

    return write_crate(folder, Path(crate).absolute(), options or CrateOptions()).path


def status_in(folder: RunFolder) -> RunStatus:
    """See ``Run.status``."""
    from gridcwl.runs.record.status import status_of

    return status_of(folder)


def logs_of(folder: RunFolder, step: str | None) -> list[JobLog]:
    """See ``Run.logs``."""
    from gridcwl.runs.record.history import History
    from gridcwl.runs.record.journal_check import explained_damage
    from gridcwl.runs.record.logs import check_step, logs

    with explained_damage(folder), closing(History(folder.journal)) as history:
        check_step(history, step)
        return list(logs(folder, history, step))


def jobs_in(folder: RunFolder) -> list[JobRecord]:
    """See ``Run.jobs``."""
    from gridcwl.runs.record.history import History
    from gridcwl.runs.record.journal_check import explained_damage

    with explained_damage(folder), closing(History(folder.journal)) as history:
        return list(history.records())


def explained_in(folder: RunFolder, step: str) -> list[Answer]:
    """See ``Run.explain``."""
    from gridcwl.runs.record.explain import answers
    from gridcwl.runs.record.history import History
    from gridcwl.runs.record.journal_check import explained_damage
    from gridcwl.runs.record.logs import check_step

    with explained_damage(folder), closing(History(folder.journal)) as history:
        found = list(answers(history, folder, step, folder.path.parents[1]))
        if not found:
            check_step(history, step)
        return found
