"""Asking DIRAC without holding up the run: a few threads for all blocking calls, and patience with what may pass."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import ParamSpec, TypeVar

from gridcwl.backends.dirac.problems import DiracCredential, DiracUnreachable
from gridcwl.errors import BackendError

log = logging.getLogger("gridcwl.backends.dirac")

_P = ParamSpec("_P")
_T = TypeVar("_T")

_LONGEST_S = 30.0
_AGAIN_S = 120.0
"""How often a trouble that lasts is told of."""


class Asking:
    """The limiter: no more than so many calls at a time.

    A service that does not answer is asked again, ever more slowly; a credential that has ended is waited for. Both are
    told of once, and again when they last. Results stay where they are meanwhile: nothing is lost by waiting.
    """

    def __init__(
        self,
        credential: Callable[[], object],
        *,
        threads: int = 8,
        patience_s: float | None = None,
        first_s: float = 1.0,
    ) -> None:
        """Prepare.

        Args:
            credential: raises ``DiracCredential`` as long as there is no valid one.
            threads: calls at a time.
            patience_s: give up after so long without an answer; None never does.
            first_s: the first pause; it doubles.
        """
        self._credential = credential
        self._pool = ThreadPoolExecutor(max_workers=threads, thread_name_prefix="dirac")
        self.patience_s = patience_s
        self._first_s = first_s
        self._told: dict[type[BackendError], float] = {}

    async def once(self, function: Callable[_P, _T], *args: _P.args, **kwargs: _P.kwargs) -> _T:
        """Call it in one of the threads; raises what it raises."""
        loop = asyncio.get_running_loop()
        return await loop.run_in_executor(self._pool, lambda: function(*args, **kwargs))

    async def __call__(self, function: Callable[_P, _T], *args: _P.args, **kwargs: _P.kwargs) -> _T:
        """Call it, and again until it is answered.

        Raises:
            DiracUnreachable: nobody answered as long as patience lasted.
            BackendError: whatever else it raised.
        """
        begun, wait = time.monotonic(), self._first_s
        while True:
            try:
                answer = await self.once(function, *args, **kwargs)
            except (DiracUnreachable, DiracCredential) as error:
                await self.pause(error, begun, wait)
                wait = min(_LONGEST_S, 2 * wait)
            else:
                self._well()
                return answer

    async def pause(self, error: BackendError, begun: float, wait: float) -> None:
        """Wait after an error that may pass: some time, or until there is a credential.

        Raises:
            BackendError: the error itself, if patience is at an end.
        """
        if self.patience_s is not None and time.monotonic() - begun > self.patience_s:
            raise error
        self._tell(error)
        if isinstance(error, DiracUnreachable):
            await asyncio.sleep(wait)
            return
        while True:
            await asyncio.sleep(min(2.0, wait))
            try:
                await self.once(self._credential)
            except DiracCredential as still:
                if self.patience_s is not None and time.monotonic() - begun > self.patience_s:
                    raise still from error
                self._tell(still)
            except BackendError:
                return
            else:
                return

    def _tell(self, error: BackendError) -> None:
        now = time.monotonic()
        if now - self._told.get(type(error), -_AGAIN_S) >= _AGAIN_S:
            self._told[type(error)] = now
            meanwhile = "Jobs go on meanwhile, and so does the run as soon as this is mended."
            log.warning("%s %s %s", error.message, error.remedy, meanwhile)

    def _well(self) -> None:
        if self._told:
            self._told.clear()
            log.warning("DIRAC answers again; the run goes on")

    def close(self) -> None:
        """Let the threads go; what they are at comes to its end without anybody waiting."""
        self._pool.shutdown(wait=False, cancel_futures=True)
