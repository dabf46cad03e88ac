"""A TES client of a few lines."""

from __future__ import annotations

from typing import Any

from waiting import until
from wes import ENDS, Wes

TES = "/ga4gh/tes/v1"
DEBIAN = "debian:stable-slim"


def shell_task(*scripts: str, **fields: Any) -> dict[str, Any]:
    """A task with one executor for each script."""
    executors = [{"image": DEBIAN, "command": ["sh", "-c", script]} for script in scripts]
    return {"executors": executors, **fields}


def post(wes: Wes, task: Any) -> Any:
    """POST a task; the response."""
    return wes.http.post(f"{TES}/tasks", json=task)


def create(wes: Wes, task: Any) -> str:
    """POST a task that is accepted; its id."""
    answer = post(wes, task)
    assert answer.status_code == 200, answer.text
    return str(answer.json()["id"])


def get(wes: Wes, task: str, view: str = "FULL") -> dict[str, Any]:
    """A task."""
    return dict(wes.http.get(f"{TES}/tasks/{task}", params={"view": view}).json())


def ended(wes: Wes, task: str) -> dict[str, Any]:
    """A task that has ended, in full."""
    until(lambda: get(wes, task, "MINIMAL")["state"] in ENDS)
    return get(wes, task)


def run(wes: Wes, task: Any) -> dict[str, Any]:
    """Run a task to its end."""
    return ended(wes, create(wes, task))
