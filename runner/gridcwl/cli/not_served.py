"""Commands that work on this machine only: with ``--server`` they name what to do instead."""

from __future__ import annotations

from collections.abc import Sequence

from gridcwl.errors import UsageError

_CRATE = "Export the run first: gridcwl export RUN CRATE.zip --server URL; then gridcwl"
INSTEAD = {
    "doctor": "gridcwl whoami --server URL checks the connection and the login; "
    "whoever runs the service runs gridcwl doctor there.",
    "lint": "Leave out --server: it reads documents of this machine, and a service checks each that is submitted.",
    "plan": "Leave out --server for a plan by your own configuration; gridcwl sites --server URL lists the sites.",
    "verify": f"{_CRATE} verify CRATE.zip.",
    "lineage": f"{_CRATE} verify CRATE.zip; the crate has all its steps, inputs and outputs.",
    "rerun": f"{_CRATE} rerun CRATE.zip. On the run's page, Run again does it at the service.",
    "shell": "Export the run, or download its inputs, and open the container here: "
    "gridcwl shell --image IMAGE -i FILE. gridcwl logs RUN STEP --server URL shows what a job has written.",
    "pool": "Whoever runs the service starts pools, and names one in its [runs].",
    "serve": "It is the service itself: leave out --server.",
    "testbed": "Leave out --server: it starts servers on this machine.",
}
"""Commands without ``--server``, and what to do."""


def refuse_server(command: str, words: Sequence[str]) -> None:
    """See that a command that has no ``--server`` is not called with it.

    Args:
        command: its name.
        words: those behind it.

    Raises:
        UsageError: it is.
    """
    if command not in INSTEAD:
        return
    for word in words:
        if word == "--":
            return
        if word.partition("=")[0] == "--server":
            raise UsageError(f"{command}: --server is not supported", remedy=INSTEAD[command])
