"""Whether the Docker engine is still the one that was there at the start.

An engine that is stopped or restarted stops its containers, and reports their end like any other: killed by a signal.
The requests under way are answered, so nothing looks amiss but for two things: a connection made now is refused (or
waits for the next engine, where systemd holds the socket), and one that was open all the time is closed.
"""

from __future__ import annotations

import contextlib
import json
import select
from collections.abc import Callable

import docker
import requests
from docker.errors import DockerException

_NOTHING = json.dumps({"label": ["gridcwl.never"]})


class Watch:
    """A connection that is open as long as the engine lives: to events that never happen."""

    def __init__(self, api: docker.APIClient, fresh: Callable[[], docker.APIClient]) -> None:
        """``fresh`` makes a client that shares no connection with others."""
        self._fresh = fresh
        self._events = api.get(
            f"{api.base_url}/v{api.api_version}/events", params={"filters": _NOTHING}, stream=True, timeout=None
        )
        self._events.raise_for_status()

    def same(self) -> bool:
        """Whether the engine neither stops nor has been restarted since; costs a connection."""
        with contextlib.closing(self._fresh()) as api:
            try:
                api.ping()
            except (DockerException, requests.RequestException):
                return False
        return not self.ended()

    def ended(self) -> bool:
        """Whether the engine that was there at the start is gone for certain; costs nothing."""
        if self._events.raw.closed:
            return True
        waiting = select.poll()  # select() itself refuses the numbers of a process with many files
        waiting.register(self._events.raw.fileno(), select.POLLIN)
        return bool(waiting.poll(0))

    def close(self) -> None:
        """Close the connection; safe to call twice."""
        self._events.close()
