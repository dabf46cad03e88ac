"""Doing a thing once, however many threads ask for it."""

from __future__ import annotations

import threading
from concurrent.futures import Future
from typing import Callable, Dict


class Once:
    """Answers by key. Those who ask while the first is at it get what he gets; a failure is tried again later."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._answers: Dict[str, "Future[str]"] = {}

    def get(self, key: str, make: Callable[[], str]) -> str:
        """The answer for this key, from ``make`` if nobody has it.

        Raises:
            Exception: whatever ``make`` raised, for all who waited for it.
        """
        with self._lock:
            future = self._answers.get(key)
            mine = future is None
            if future is None:
                future = self._answers[key] = Future()
        if mine:
            try:
                future.set_result(make())
            except BaseException as error:  # noqa: BLE001  raised again, by result()
                with self._lock:
                    del self._answers[key]
                future.set_exception(error)
        return future.result()
