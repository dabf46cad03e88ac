"""Starts what DIRAC starts as dirac-service, dirac-agent or dirac-executor, with the testbed's patches.

python -m gridcwl.testbed.dirac.inside.launch service System/Service... [-o option...]

``pilots`` in place of ``agent`` starts one agent after the other: a pilot ends when it sees fit, and on a grid another
one comes, sent by a SiteDirector, which the testbed has not.
"""

from __future__ import annotations

import os
import subprocess
import sys
import time
from importlib import import_module
from typing import NoReturn

from gridcwl.testbed.dirac.inside import patches

_PAUSE_S = 1.0

_MAINS = {"service": "dirac_service", "agent": "dirac_agent", "executor": "dirac_executor"}


def main() -> int:
    """Run the program named by the first argument on the rest of them."""
    kind = sys.argv[1]
    if kind == "pilots":
        _one_after_the_other(sys.argv[2:])
    # for payloads, gridcwl is not there: they are to see the environment of a machine on the grid
    os.environ.pop("PYTHONPATH", None)
    sys.argv = [f"dirac-{kind}", *sys.argv[2:]]
    for role in patches.ROLES:
        if role == kind:
            patches.apply(role)
    program = import_module(f"DIRAC.Core.scripts.{_MAINS[kind]}")
    return int(program.main() or 0)


def _one_after_the_other(arguments: list[str]) -> NoReturn:
    while True:
        subprocess.run([sys.executable, "-m", __spec__.name, "agent", *arguments], check=False)
        time.sleep(_PAUSE_S)


if __name__ == "__main__":
    sys.exit(main())
