"""The console script: start and end quickly.

To look for garbage while modules are imported, and to take the interpreter apart at the end, takes a fifth of the time
of a run that ends at once.
"""

from __future__ import annotations

import atexit
import gc
import logging
import os
import sys
import threading
from contextlib import suppress

_BETWEEN = 100_000
"""Objects that come before garbage is looked for; Python's own 700 is for small programs."""


def entry() -> None:
    """Run the command line and exit with its code."""
    gc.set_threshold(_BETWEEN, 20, 20)
    from gridcwl.cli.main import main

    code = main(sys.argv[1:])
    given_up = getattr(sys.modules.get("gridcwl.tasks"), "given_up", False)
    if threading.active_count() > 1 and not given_up:  # whatever they do is to be done
        sys.exit(code)
    atexit._run_exitfuncs()
    logging.shutdown()
    for stream in (sys.stdout, sys.stderr):
        with suppress(OSError, ValueError):
            stream.flush()
    os._exit(code)
