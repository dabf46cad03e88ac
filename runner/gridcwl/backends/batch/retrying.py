"""Blocking calls to a batch system: a few threads for all of them, repeated while an error may pass."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import ParamSpec, TypeVar

from gridcwl.backends.batch.errors import CredentialMissing, Unreachable
from gridcwl.errors import BackendError

log = logging.getLogger("gridcwl.backends.batch")

_P = ParamSpec("_P")
_T = TypeVar("_T")

_LONGEST_S = 30.0
_AGAIN_S = 120.0
"""How often an error that lasts is reported."""


class Retrying:
    """The limiter: no more than so many calls at a time.

    Calls to a service that does not answer are repeated, ever more slowly; a new credential is waited for. Both are
    reported once, and again while they last. Results stay where they are meanwhile: nothing is lost by waiting.
    """

    def __init__(
        self,
        system: str,
        credential: Callable[[], object],
        *,
        threads: int = 8,
        patience_s: float | None = None,
        first_s: float = 1.0,
    ) -> None:
        """Prepare.

        Args:
            system: the name of the batch system, for messages.
            credential: raises ``CredentialMissing`` as long as there is no valid one.
            threads: calls at a time.
            patience_s: give up after so long without an answer; None never does.
            first_s: the first pause; it doubles.
        """
        self._system, self._credential = system, credential
        self._pool = ThreadPoolExecutor(max_workers=threads, thread_name_prefix=system)
        self.patience_s = patience_s
        self._first_s = first_s
        self._reported: dict[type[BackendError], float] = {}

    async def once(self, function: Callable[_P, _T], *args: _P.args, **kwargs: _P.kwargs) -> _T:
        """Call it in one of the threads; raises what it raises."""
        loop = asyncio.get_running_loop()
        return await loop.run_in_executor(self._pool, lambda: function(*args, **kwargs))

    async def __call__(self, function: Callable[_P, _T], *args: _P.args, **kwargs: _P.kwargs) -> _T:
        """Call it, and repeat the call until it is answered.

        Raises:
            Unreachable: the service did not answer for ``patience_s``.
            BackendError: any other error of the call.
        """
        begun, wait = time.monotonic(), self._first_s
        while True:
            try:
                answer = await self.once(function, *args, **kwargs)
            except (Unreachable, CredentialMissing) as error:
                await self.pause(error, begun, wait)
                wait = min(_LONGEST_S, 2 * wait)
            else:
                self._well()
                return answer

    async def pause(self, error: BackendError, begun: float, wait: float) -> None:
        """Wait after an error that may pass: some time, or until there is a credential.

        Raises:
            BackendError: the error itself, after ``patience_s``.
        """
        if self.patience_s is not None and time.monotonic() - begun > self.patience_s:
            raise error
        self._report(error)
        if isinstance(error, Unreachable):
            await asyncio.sleep(wait)
            return
        while True:
            await asyncio.sleep(min(2.0, wait))
            try:
                await self.once(self._credential)
            except CredentialMissing as still:
                if self.patience_s is not None and time.monotonic() - begun > self.patience_s:
                    raise still from error
                self._report(still)
            except BackendError:
                return
            else:
                return

    def _report(self, error: BackendError) -> None:
        now = time.monotonic()
        if now - self._reported.get(type(error), -_AGAIN_S) >= _AGAIN_S:
            self._reported[type(error)] = now
            log.warning(
                "%s %s Jobs keep running, and the run continues once this is fixed.", error.message, error.remedy
            )

    def _well(self) -> None:
        if self._reported:
            self._reported.clear()
            log.warning("%s answers again; the run continues", self._system)

    def close(self) -> None:
        """Release the threads; calls in progress end without being waited for."""
        self._pool.shutdown(wait=False, cancel_futures=True)
