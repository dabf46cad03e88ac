"""How the service shows what ended a run: its state, and a message without places of this machine."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

from gridcwl.errors import BackendError, GridCWLError, RunCancelled, RunFailed, StoreError
from gridcwl.service.states import State


def without_places(message: str, files: Path) -> str:
    """A message with attachments under the names that their client gave them."""
    for folder in (files, os.path.relpath(files)):
        message = message.replace(f"{folder}/", "")
    return message


def end_of(error: GridCWLError) -> tuple[State, dict[str, Any]]:
    """The state that an error ends a run in, and what is recorded of it."""
    # of a run that failed, the remedy is a command of this machine
    message = error.message if isinstance(error, RunFailed | RunCancelled) else str(error)
    changes: dict[str, Any] = {"message": message, "exit_code": error.exit_code}
    if isinstance(error, RunCancelled):
        return State.CANCELED, changes
    if isinstance(error, RunFailed):
        return State.EXECUTOR_ERROR, changes | {"outputs": error.outputs}
    return (State.SYSTEM_ERROR if isinstance(error, BackendError | StoreError) else State.EXECUTOR_ERROR), changes
