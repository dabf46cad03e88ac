"""Who one is at a service, and what it may use: ``gridcwl credentials``. Secrets are read from files, never typed."""

from __future__ import annotations

import argparse
import json
import sys
from datetime import datetime
from pathlib import Path
from typing import Any

from gridcwl.cli.tables import show
from gridcwl.cli.terminal import escaped
from gridcwl.errors import ConfigError, UsageError
from gridcwl.remote.connection import NATIVE, Connection

COMMANDS = ("credentials",)


def register(actions: Any) -> None:
    """Add the commands to the parser."""
    made = actions.add_parser(
        "credentials",
        help="proxies and tokens that your runs use at a service",
        description="Proxies and tokens that your runs use at a service: it encrypts them, and shows them to nobody.",
    )
    made.add_argument("action", choices=("add", "ls", "rm"), help="add one, list yours, or remove one")
    made.add_argument("kind", nargs="?", choices=("proxy", "token"), help="what rm removes")
    made.add_argument("--server", metavar="URL", required=True, help="the gridcwl serve")
    which = made.add_mutually_exclusive_group()
    which.add_argument("--proxy", metavar="FILE", help="a proxy certificate (default: as dirac-proxy-init leaves it)")
    which.add_argument("--token", metavar="FILE", help="a file with an access token")
    made.add_argument("--account", metavar="NAME", help="the account at Rucio (default: your name at the service)")
    made.add_argument("--json", action="store_true", help="print JSON")
    made.set_defaults(act=_credentials, command="credentials")


def _credentials(given: argparse.Namespace) -> int:
    connection = Connection(given.server)
    if given.action == "add":
        return _add(connection, given)
    if given.action == "rm":
        if not given.kind:
            raise UsageError("gridcwl credentials rm needs what to remove", remedy="Name it: proxy or token.")
        connection.send_secret("DELETE", f"{NATIVE}/credentials/{given.kind}")
        print(f"gridcwl: the {given.kind} was removed from {connection.url}", file=sys.stderr)
        return 0
    found = connection.get(f"{NATIVE}/credentials")
    if given.json:
        print(json.dumps(found, indent=2))
        return 0
    rows = [
        (one["kind"], one["about"], one["account"] or "-", _when(one), "yes" if one["renewed"] else "no")
        for one in found["credentials"]
    ]
    show(("kind", "of", "account", "ends", "renewed"), rows, cut=("of",))
    if found["waits"]:
        print(f"gridcwl: {escaped(found['waits'])}", file=sys.stderr)
    return 0


def _add(connection: Connection, given: argparse.Namespace) -> int:
    kind, file = ("token", given.token) if given.token else ("proxy", given.proxy or _own_proxy())
    try:
        text = Path(file).read_text("ascii")
    except (OSError, UnicodeDecodeError) as error:
        reason = getattr(error, "strerror", None) or "it is no text"
        raise ConfigError(f"The {kind} {file} cannot be read: {reason}") from None
    stored = connection.send_secret(
        "PUT", f"{NATIVE}/credentials/{kind}", {"text": text, "account": given.account or ""}
    )
    print(f"gridcwl: {connection.url} has your {kind} until {_when(stored)}", file=sys.stderr)
    return 0


def _own_proxy() -> str:
    from gridcwl.worker.credentials import proxy_file

    if not (found := proxy_file()):
        raise ConfigError(
            "There is no proxy certificate", remedy="Make one with dirac-proxy-init, or name it: --proxy."
        )
    return found


def _when(stored: dict[str, Any]) -> str:
    text = f"{datetime.fromtimestamp(stored['ends']).astimezone():%Y-%m-%d %H:%M}"
    return f"{text} (expired)" if stored["expired"] else text
