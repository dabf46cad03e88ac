"""What a run that has ended means for its task: its outputs are delivered, and its state is one of TES."""

from __future__ import annotations

from typing import Any

from gridcwl.errors import GridCWLError, StoreError
from gridcwl.model.confinement import Confinement
from gridcwl.service.db import StoredRun
from gridcwl.service.folders import ServiceFolder
from gridcwl.service.registries import prefixes
from gridcwl.service.settings import ServiceSettings
from gridcwl.service.states import State
from gridcwl.service.tes import delivery, request, shown, urls


def allowed(settings: ServiceSettings, schemes: tuple[str, ...]) -> urls.Allowed:
    """What the operator lets tasks read and write."""
    return urls.Allowed(
        Confinement(tuple(map(str, settings.file_roots)), prefixes(settings.allowed_urls)),
        Confinement(tuple(map(str, settings.output_roots)), settings.output_urls),
        schemes,
    )


def delivered(settings: ServiceSettings, folder: ServiceFolder, run: StoredRun, outputs: Any) -> list[dict[str, str]]:
    """Bring the outputs of a task's run where they are to be. Blocking.

    Raises:
        StoreError: that is not possible.
    """
    result = shown.last_result(folder.record(run.engine))
    if result is None:
        raise StoreError("The task has ended without a result")
    task = request.stored(run.request[shown.TASK])
    schemes = tuple(sorted({urls.scheme(output.url) for output in task.outputs or ()} - {"file", "http", "https"}))
    return delivery.deliver(task, outputs or {}, result, folder.run(run.engine), allowed(settings, schemes))


def end_of(folder: ServiceFolder, run: StoredRun, error: GridCWLError, state: State) -> State:
    """The state that an error ends a task in: EXECUTOR_ERROR if one of its executors failed."""
    if state not in (State.EXECUTOR_ERROR, State.SYSTEM_ERROR) or isinstance(error, StoreError):
        return state
    task = request.stored(run.request[shown.TASK])
    ignoring = [bool(executor.ignore_error) for executor in task.executors]
    failed = shown.executor_failed(shown.last_result(folder.record(run.engine)), ignoring)
    return State.EXECUTOR_ERROR if failed else State.SYSTEM_ERROR
