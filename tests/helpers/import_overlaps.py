"""What two threads import at the same time: each import of a package, by thread, while it lasts.

``watch`` replaces what Python calls for every module that is not loaded yet, so that imports inside libraries are seen,
too.
"""

from __future__ import annotations

import sys
import threading
from collections import Counter, defaultdict
from collections.abc import Callable
from importlib import _bootstrap  # type: ignore[attr-defined]
from typing import Any

_QUIET = {*sys.stdlib_module_names, "gridcwl"}
"""Packages without circular imports, which any thread may import."""


def watch() -> Callable[[], list[str]]:
    """Begin; what is returned gives the overlaps that were seen: ``requests: load-dirac, rucio_0``."""
    real, lock = _bootstrap._find_and_load, threading.Lock()
    active: dict[str, Counter[str]] = defaultdict(Counter)
    seen: set[str] = set()

    def find_and_load(name: str, import_: Any) -> Any:
        package, me = name.partition(".")[0], threading.current_thread().name
        if package in _QUIET:
            return real(name, import_)
        with lock:
            active[package][me] += 1
            others = [thread for thread, depth in active[package].items() if depth and thread != me]
            if others:
                seen.add(f"{name}: {me}, {', '.join(others)}")
        try:
            return real(name, import_)
        finally:
            with lock:
                active[package][me] -= 1

    _bootstrap._find_and_load = find_and_load
    return lambda: sorted(seen)
