"""What ``gridcwl doctor`` checks of DIRAC and DiracX: do they answer, how long does the credential last."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from contextlib import closing
from datetime import datetime
from pathlib import Path

from gridcwl.errors import GridCWLError
from gridcwl.health import PATIENCE_S, HealthCheck, clock, credential, server_check


def dirac(*, needed: bool) -> Iterator[HealthCheck]:
    """DIRAC, by its own client."""
    if not _is_configured() and not needed:
        yield HealthCheck("DIRAC", "unused", "installed, not configured", "To use it, run dirac-configure.")
        return
    from gridcwl.backends.dirac.client import DiracClient

    client = DiracClient(timeout_s=PATIENCE_S)

    def answers() -> str:
        client.most_jobs()
        return "its job manager answers"

    yield server_check("DIRAC", answers)

    def proxy() -> tuple[str, datetime, str]:
        ours = client.credential()
        return f"user {ours.user}, group {ours.group}", ours.ends, ours.renewal

    yield credential("DIRAC credential", proxy)


def _is_configured() -> bool:
    named = os.environ.get("DIRACSYSCONFIG", "").split(",")
    usual = [Path.home() / ".dirac.cfg", Path(os.environ.get("DIRAC_ROOT_PATH", sys.prefix)) / "etc" / "dirac.cfg"]
    return any(Path(name.strip()).is_file() for name in named if name.strip()) or any(map(Path.is_file, usual))


def diracx(*, needed: bool) -> Iterator[HealthCheck]:
    """DiracX."""
    url = os.environ.get("DIRACX_URL")
    if url is None and not needed:
        return
    from gridcwl.backends.dirac.diracx.server import from_environment

    try:
        server = from_environment()
    except GridCWLError as error:
        yield HealthCheck("DiracX", "error", error.message, error.remedy)
        return
    with closing(server):

        def token() -> tuple[str, datetime, str]:
            ours = server.credential()
            return f"user {ours.user}, group {ours.group}", ours.ends, ours.renewal

        yield credential("DiracX credential", token)
    if url:
        yield clock("DiracX", url)
