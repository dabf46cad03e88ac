"""Starts what DIRAC starts as dirac-service, dirac-agent or dirac-executor, with the testbed's patches.

python -m gridcwl.testbed.dirac.inside.launch service System/Service... [-o option...]
"""

from __future__ import annotations

import os
import sys
from importlib import import_module

from gridcwl.testbed.dirac.inside import patches

_MAINS = {"service": "dirac_service", "agent": "dirac_agent", "executor": "dirac_executor"}


def main() -> int:
    """Run the program named by the first argument on the rest of them."""
    kind = sys.argv[1]
    # for payloads, gridcwl is not there: they are to see the environment of a machine on the grid
    os.environ.pop("PYTHONPATH", None)
    sys.argv = [f"dirac-{kind}", *sys.argv[2:]]
    for role in patches.ROLES:
        if role == kind:
            patches.apply(role)
    program = import_module(f"DIRAC.Core.scripts.{_MAINS[kind]}")
    return int(program.main() or 0)


if __name__ == "__main__":
    sys.exit(main())
