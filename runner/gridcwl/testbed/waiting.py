"""Waiting for a server: until it is there, or with the end of its log."""

from __future__ import annotations

import socket
import time
from collections.abc import Callable
from pathlib import Path

from gridcwl.testbed.errors import TestbedError, tail

_FIRST_PAUSE_S, _LONGEST_PAUSE_S = 0.02, 0.5


def wait_for(
    condition: Callable[[], object],
    what: str,
    within_s: float,
    *,
    log: Path | None = None,
    given_up: Callable[[], bool] | None = None,
) -> None:
    """Until the condition holds.

    Args:
        condition: asked again and again, ever more seldom.
        what: for the error: "<what> is not there after ...".
        within_s: the longest to wait, in seconds.
        log: its last lines go into the error.
        given_up: true when waiting longer makes no sense, such as when the process has died.

    Raises:
        TestbedError: it does not hold in time, or never will.
    """
    end = time.monotonic() + within_s
    pause = _FIRST_PAUSE_S
    while not condition():
        dead = given_up is not None and given_up()
        # what is dead may have done its work before it died
        if dead and condition():
            return
        if dead or time.monotonic() > end:
            lines = f"; the end of {log}:\n{tail(log)}" if log else ""
            why = "its process has ended" if dead else f"not after {within_s:g} s"
            raise TestbedError(f"The testbed waits for {what} in vain: {why}{lines}")
        time.sleep(pause)
        pause = min(pause * 1.5, _LONGEST_PAUSE_S)


def wait_for_port(
    port: int, within_s: float, *, log: Path | None = None, given_up: Callable[[], bool] | None = None
) -> None:
    """Until somebody listens on this loopback port; raises as :func:`wait_for`."""
    wait_for(lambda: listens(port), f"a server on port {port}", within_s, log=log, given_up=given_up)


def listens(port: int) -> bool:
    """Somebody takes connections on this loopback port."""
    with socket.socket() as probe:
        probe.settimeout(2)
        return probe.connect_ex(("127.0.0.1", port)) == 0
