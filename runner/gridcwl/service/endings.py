"""How the service shows what ended a run: its state, and a message without places of this machine."""

from __future__ import annotations

import os
import re
from pathlib import Path
from typing import Any

from gridcwl.errors import BackendError, GridCWLError, RunCancelled, RunFailed, StoreError
from gridcwl.service.states import State


def without_places(message: str, files: Path) -> str:
    """A message with attachments under the names that their client gave them."""
    # cwltool writes paths from the current folder on: they end with the absolute one if that is not below it
    message = re.sub(rf"(?:\.\./)*(?:\.\.)?{re.escape(str(files))}/", "", message)
    return message.replace(f"{os.path.relpath(files)}/", "")


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
