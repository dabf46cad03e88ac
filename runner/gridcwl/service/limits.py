"""How often users and addresses may ask: token buckets in this process."""

from __future__ import annotations

import threading
import time
from collections import OrderedDict
from collections.abc import Callable
from math import ceil

from starlette.responses import JSONResponse
from starlette.types import ASGIApp, Receive, Scope, Send

from gridcwl.service.problems import Busy

_MOST_KEYS = 10_000


class RateLimit:
    """So many requests a minute for each key; a minute's worth may come at once. For many threads."""

    def __init__(self, per_minute: int, clock: Callable[[], float] = time.monotonic) -> None:
        """Prepare.

        Args:
            per_minute: 0 is no limit.
            clock: seconds that go by.
        """
        self._per_minute = per_minute
        self._clock = clock
        self._left: OrderedDict[str, tuple[float, float]] = OrderedDict()
        self._lock = threading.Lock()

    def wait_s(self, key: str) -> int:
        """Count a request: 0, or the seconds after which there may be another one."""
        if not self._per_minute:
            return 0
        now, rate = self._clock(), self._per_minute / 60
        with self._lock:
            left, since = self._left.pop(key, (float(self._per_minute), now))
            left = min(float(self._per_minute), left + (now - since) * rate)
            allowed = left >= 1
            self._left[key] = (left - 1 if allowed else left, now)
            while len(self._left) > _MOST_KEYS:
                self._left.popitem(last=False)
        return 0 if allowed else max(1, ceil((1 - left) / rate))

    def check(self, key: str) -> None:
        """Count a request of a user.

        Raises:
            Busy: there were too many.
        """
        if seconds := self.wait_s(key):
            raise Busy(f"You have made {self._per_minute} requests within a minute", {"Retry-After": str(seconds)})


class AddressLimit:
    """Refuses requests of an address that has made too many, before anything else is done for them."""

    def __init__(self, app: ASGIApp, per_minute: int) -> None:
        self._app = app
        self._limit = RateLimit(per_minute)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """See ASGI."""
        if scope["type"] == "http":
            client = scope.get("client")
            if seconds := self._limit.wait_s(client[0] if client else ""):
                message = {"msg": "There were too many requests from your address", "status_code": 429}
                answer = JSONResponse(message, 429, headers={"Retry-After": str(seconds), "Connection": "close"})
                await answer(scope, receive, send)
                return
        await self._app(scope, receive, send)
