"""The proof that a testbed works: what its servers' own clients can do with them, gridcwl left out."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from importlib import import_module

from gridcwl.errors import GridCWLError
from gridcwl.testbed.service import Say
from gridcwl.testbed.testbed import Testbed

# service -> the module whose selftest(testbed, say) gives rows
_TESTS = {"rucio": "gridcwl.testbed.rucio.selftest", "dirac": "gridcwl.testbed.dirac.selftest"}


@dataclass(frozen=True, slots=True)
class Row:
    """One thing that was tried."""

    service: str
    what: str
    passed: bool
    seconds: float
    detail: str = ""
    """Why it failed."""


def selftest(testbed: Testbed, say: Say) -> list[Row]:
    """Try everything that this testbed's services promise."""
    rows: list[Row] = []
    for name, module in _TESTS.items():
        if any(service.name == name for service in testbed.services()):
            say(f"{name}: testing")
            rows += import_module(module).selftest(testbed, say)
    return rows


def attempt(service: str, what: str, act: Callable[[], object]) -> Row:
    """Do it, and say how it went."""
    began = time.monotonic()
    try:
        act()
    except GridCWLError as error:
        return Row(service, what, False, time.monotonic() - began, str(error))
    return Row(service, what, True, time.monotonic() - began)


def attempts(service: str, acts: Iterator[tuple[str, Callable[[], object]]]) -> list[Row]:
    """Do them all, in order."""
    return [attempt(service, what, act) for what, act in acts]
