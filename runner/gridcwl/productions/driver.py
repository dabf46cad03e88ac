"""The driver of a production: submits portions, sees how they end, and submits the failed part again."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import replace
from typing import Any, Literal, Protocol, TypeAlias

from gridcwl.errors import GridCWLError
from gridcwl.productions.model import Portion, PortionState, Production, decide

log = logging.getLogger("gridcwl.productions")

RunState: TypeAlias = Literal["missing", "active", "stopped", "success", "failed", "cancelled"]


class WaitError(GridCWLError):
    """A portion cannot be submitted now; it is tried again."""


class ProductionRecord(Protocol):
    """Where productions are kept; see ``ProductionStore``. A key is ``Production.key``."""

    def portions(self, name: str) -> list[Portion]: ...  # noqa: D102
    def update(self, name: str, portion: Portion, state: PortionState, **fields: Any) -> Portion: ...  # noqa: D102
    def is_stopped(self, name: str) -> bool: ...  # noqa: D102


class PortionRuns(Protocol):
    """What runs portions. Calls are short."""

    def start(self, production: Production, portion: Portion) -> None:
        """Begin a portion's run under its id. Raises GridCWLError."""

    def resume(self, portion: Portion) -> None:
        """Go on with a run that was stopped or that failed: what finished does not run again. Raises GridCWLError."""

    def state(self, portion: Portion) -> tuple[RunState, str]:
        """How a portion's run stands, and a message if it failed."""

    def failures(self, portion: Portion) -> int:
        """How many instances of a run that ended have failed."""

    def cancel(self, portion: Portion) -> None:
        """Stop a portion's run."""

    def collect(self, production: Production, portion: Portion) -> None:
        """Put what a run made to the rest of the production. Raises GridCWLError."""


class ProductionDriver:
    """Drives one production; it has to be held."""

    def __init__(self, store: ProductionRecord, runs: PortionRuns, production: Production) -> None:
        self._store = store
        self._runs = runs
        self.production = production

    def take_over(self) -> None:
        """Go on with what an earlier process left: runs that were active, or that had been claimed only."""
        for portion in self._portions():
            if portion.state is not PortionState.RUNNING:
                continue
            state, _ = self._runs.state(portion)
            if state in ("stopped", "cancelled"):
                self._attempt(portion, resume=True)
            elif state == "missing":
                self._attempt(portion, resume=False)

    def begin_missing(self) -> None:
        """Begin what had been claimed only, where whatever has begun is known to all drivers."""
        for portion in self._portions():
            if portion.state is PortionState.RUNNING and self._runs.state(portion)[0] == "missing":
                self._attempt(replace(portion, tries=portion.tries - 1), resume=False)

    def retry(self) -> int:
        """Let the failed and stopped part be submitted again; returns how many portions that are."""
        again = [one for one in self._portions() if one.state in (PortionState.FAILED, PortionState.STOPPED)]
        for portion in again:
            self._set(portion, PortionState.FAILED, tries=0)
        return len(again)

    def step(self) -> bool:
        """Do what is to be done now; whether something is still active or waiting."""
        for portion in self._portions():
            if portion.state is PortionState.RUNNING:
                self._look(portion)
        if self._store.is_stopped(self.production.key):
            return self._stop()
        chosen = decide(self.production, self._portions())
        again = {portion.number for portion in chosen.resubmit}
        for portion in (*chosen.resubmit, *chosen.start):
            if portion.number in again:
                log.info("%s: portion %d is submitted again", self.production.name, portion.number)
            if not self._attempt(portion, resume=portion.number in again):
                break
        after = self._portions()
        following = decide(self.production, after)
        return any(one.state is PortionState.RUNNING for one in after) or bool(following.start or following.resubmit)

    def _stop(self) -> bool:
        active = [portion for portion in self._portions() if portion.state is PortionState.RUNNING]
        for portion in active:
            self._runs.cancel(portion)
        return bool(active)

    def _look(self, portion: Portion) -> None:
        state, message = self._runs.state(portion)
        if state == "success":
            try:
                self._runs.collect(self.production, portion)
            except GridCWLError as error:
                log.warning("%s: %s", self.production.name, error.message)
                self._set(portion, PortionState.FAILED, message=error.message, failed=0)
                return
            self._set(portion, PortionState.SUCCESS, message="", failed=0)
            log.info("%s: portion %d is done", self.production.name, portion.number)
        elif state in ("failed", "cancelled", "stopped"):
            ended = PortionState.FAILED if state == "failed" else PortionState.STOPPED
            failed = self._runs.failures(portion) if state == "failed" else 0
            self._set(portion, ended, message=message, failed=failed)
            log.warning("%s: portion %d %s: %s", self.production.name, portion.number, ended, message or "stopped")

    def _attempt(self, portion: Portion, *, resume: bool) -> bool:
        """Submit a portion; False if nothing can be submitted now."""
        claimed = self._set(portion, PortionState.RUNNING, tries=portion.tries + 1)
        try:
            if resume and self._runs.state(portion)[0] != "missing":
                self._runs.resume(claimed)
            else:
                self._runs.start(self.production, claimed)
        except WaitError as error:
            self._set(claimed, portion.state, tries=portion.tries, message=error.message)
            log.warning("%s: portion %d waits: %s", self.production.name, portion.number, error.message)
            return False
        except GridCWLError as error:
            self._set(claimed, PortionState.FAILED, message=error.message, failed=0)
            log.warning("%s: portion %d cannot run: %s", self.production.name, portion.number, error.message)
        return True

    def _set(self, portion: Portion, state: PortionState, **fields: object) -> Portion:
        return self._store.update(self.production.key, portion, state, **fields)

    def _portions(self) -> Sequence[Portion]:
        return self._store.portions(self.production.key)
