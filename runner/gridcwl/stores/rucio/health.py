"""What ``gridcwl doctor`` checks of Rucio: does it answer, how long does a token last, is the clock right."""

from __future__ import annotations

import contextlib
import os
import sys
from collections.abc import Iterator
from configparser import ConfigParser
from configparser import Error as ConfigParserError
from datetime import UTC, datetime
from pathlib import Path

from gridcwl.health import HealthCheck, clock, credential, server_check


def rucio(*, needed: bool) -> Iterator[HealthCheck]:
    """Rucio, by its own client."""
    config = rucio_config()
    if config is None and not needed:
        yield HealthCheck(
            "Rucio", "unused", "installed, not configured", "To use it, let RUCIO_CONFIG name a rucio.cfg."
        )
        return
    from gridcwl.stores.rucio.client import RucioClient

    client = RucioClient(patient=False)
    try:

        def account() -> str:
            return f"account {client.call_now('whoami')['account']}"

        yield server_check("Rucio", account)
        if (ends := client.token_ends()) is not None:
            renewal = "Renew the token in rucio.cfg's auth_token_file_path, or run: rucio whoami"
            yield credential("Rucio token", lambda: ("", datetime.fromtimestamp(ends, UTC), renewal))
    finally:
        client.close()
    if config is not None and (url := _server(config)):
        yield clock("Rucio", url)


def rucio_config() -> Path | None:
    """The rucio.cfg that Rucio's client reads."""
    home = os.environ.get("RUCIO_HOME")
    places = [os.environ.get("RUCIO_CONFIG", "")]
    places += [f"{home}/etc/rucio.cfg"] if home else []
    places += ["/opt/rucio/etc/rucio.cfg", f"{os.environ.get('VIRTUAL_ENV', sys.prefix)}/etc/rucio.cfg"]
    return next((Path(place) for place in places if place and Path(place).is_file()), None)


def _server(config: Path) -> str:
    parser = ConfigParser(interpolation=None)
    with contextlib.suppress(ConfigParserError, OSError):
        parser.read(config)
    return parser.get("client", "rucio_host", fallback="")
