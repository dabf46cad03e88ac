"""Who one is at a service, and what it may use: ``gridcwl login``, ``logout``, ``whoami``, ``credentials``, ``keys``.

Secrets are read from files, never typed, and never shown but for a new API key.
"""

from __future__ import annotations

import argparse
import json
import sys
from datetime import datetime
from pathlib import Path
from typing import Any
from urllib.parse import quote

from gridcwl.cli.tables import show
from gridcwl.cli.terminal import escaped
from gridcwl.errors import ConfigError
from gridcwl.remote.connection import NATIVE, Connection

COMMANDS = ("credentials", "login", "logout", "whoami", "keys")


def register(actions: Any) -> None:
    """Add the commands to the parser."""
    made = actions.add_parser(
        "credentials",
        help="proxies and tokens that your runs use at a service",
        description="Proxies and tokens that your runs use at a service: it encrypts them, and shows them to nobody.",
    )
    add, _, remove = _actions(made, "credentials", _credentials)
    remove.add_argument("kind", choices=("proxy", "token", "zooniverse"), help="what is removed")
    which = add.add_mutually_exclusive_group()
    which.add_argument("--proxy", metavar="FILE", help="a proxy certificate (default: as dirac-proxy-init leaves it)")
    which.add_argument("--token", metavar="FILE", help="a file with an access token")
    which.add_argument(
        "--zooniverse", metavar="FILE", help="a file with PANOPTES_USERNAME=... and PANOPTES_PASSWORD=..."
    )
    add.add_argument("--account", metavar="NAME", help="the account at Rucio (default: your name at the service)")
    for name, act, text in (
        ("login", _login, "log in at a service, in a browser"),
        ("logout", _logout, "forget the login at a service"),
        ("whoami", _whoami, "who you are at a service, and what you may do there"),
    ):
        made = actions.add_parser(name, help=text, description=text)
        made.add_argument("--server", metavar="URL", required=True, help="the gridcwl serve")
        made.set_defaults(act=act, command=name)
    made.add_argument("--json", action="store_true", help="print JSON")
    _register_keys(actions)


def _register_keys(actions: Any) -> None:
    made = actions.add_parser(
        "keys",
        help="API keys of yours at a service, for machines",
        description="API keys of yours at a service, for machines that cannot log in: give one by BEARER_TOKEN or "
        "BEARER_TOKEN_FILE. A key is printed once, on stdout.",
    )
    add, _, remove = _actions(made, "keys", _keys)
    remove.add_argument("key", metavar="ID", help="the id of the key")
    add.add_argument("--name", metavar="TEXT", default="", help="what the key is for")
    add.add_argument(
        "--may",
        metavar="WORD",
        action="append",
        choices=("read", "submit", "operate"),
        help="what the key allows; may be repeated (default: read and submit)",
    )
    add.add_argument("--days", type=float, metavar="N", default=90, help="days until it ends (default: 90)")


def _actions(parser: argparse.ArgumentParser, command: str, act: Any) -> list[argparse.ArgumentParser]:
    """The parsers of a command's ``add``, ``ls`` and ``rm``."""
    inner = parser.add_subparsers(metavar="ACTION", required=True)
    made = []
    for action, text in (("add", "add one"), ("ls", "list yours"), ("rm", "remove one")):
        one = inner.add_parser(action, help=text, description=text)
        one.add_argument("--server", metavar="URL", required=True, help="the gridcwl serve")
        one.add_argument("--json", action="store_true", help="print JSON")
        one.set_defaults(act=act, command=command, action=action)
        made.append(one)
    return made


def _login(given: argparse.Namespace) -> int:
    from gridcwl.remote import logins

    connection = Connection(given.server)
    how = connection.public(f"{NATIVE}/login")

    def show(page: str, code: str) -> None:
        print(f"gridcwl: open {escaped(page)}\nand enter the code {escaped(code)}", file=sys.stderr, flush=True)

    with connection.reading():
        login = logins.log_in(connection.url, how, show)
    file = logins.save(login)
    found = connection.get(f"{NATIVE}/whoami")
    with connection.reading():
        user = escaped(found["user"])
    print(f"gridcwl: logged in at {connection.url} as {user}; the token is in {file}", file=sys.stderr)
    return 0


def _logout(given: argparse.Namespace) -> int:
    from gridcwl.remote import logins

    connection = Connection(given.server)
    there = logins.forget(connection.url)
    print(f"gridcwl: {'logged out of' if there else 'there was no login at'} {connection.url}", file=sys.stderr)
    return 0


def _whoami(given: argparse.Namespace) -> int:
    connection = Connection(given.server)
    found = connection.get(f"{NATIVE}/whoami")
    if given.json:
        print(json.dumps(found, indent=2))
        return 0
    with connection.reading():
        print(escaped(found["user"]))
        for title, words in (("groups", found["groups"]), ("may", found["may"])):
            print(f"{title}: {escaped(', '.join(words)) or '-'}")
        if found["dirac_group"]:
            print(f"group at DIRAC: {escaped(found['dirac_group'])}")
    return 0


def _keys(given: argparse.Namespace) -> int:
    connection = Connection(given.server)
    if given.action == "rm":
        connection.send_secret("DELETE", f"{NATIVE}/keys/{quote(given.key, safe='')}")
        print(f"gridcwl: the key {escaped(given.key)} is no longer valid", file=sys.stderr)
        return 0
    if given.action == "add":
        asked = {"name": given.name, "may": given.may or ["read", "submit"], "days": given.days}
        made = connection.send_secret("POST", f"{NATIVE}/keys", asked)
        with connection.reading():
            print(json.dumps(made, indent=2) if given.json else made["key"])
            print(f"gridcwl: keep it, it is not shown again; id {made['id']}, until {_when(made)}", file=sys.stderr)
        return 0
    found = connection.get(f"{NATIVE}/keys")["keys"]
    if given.json:
        print(json.dumps(found, indent=2))
        return 0
    with connection.reading():
        used = [datetime.fromtimestamp(one["used"]).astimezone() if one["used"] else None for one in found]
        rows = [
            (one["id"], one["name"], ", ".join(one["may"]), _when(one), f"{last:%Y-%m-%d %H:%M}" if last else "never")
            for one, last in zip(found, used, strict=True)
        ]
        show(("id", "name", "may", "ends", "used"), rows, cut=("name",))
    return 0


def _credentials(given: argparse.Namespace) -> int:
    connection = Connection(given.server)
    if given.action == "add":
        return _add(connection, given)
    if given.action == "rm":
        connection.send_secret("DELETE", f"{NATIVE}/credentials/{given.kind}")
        print(f"gridcwl: the {given.kind} was removed from {connection.url}", file=sys.stderr)
        return 0
    found = connection.get(f"{NATIVE}/credentials")
    if given.json:
        print(json.dumps(found, indent=2))
        return 0
    with connection.reading():
        rows = [
            (
                *(one["kind"], one["about"], one["account"] or "-"),
                *("-" if one.get("unlimited") else _when(one), "yes" if one["renewed"] else "no"),
            )
            for one in found["credentials"]
        ]
        show(("kind", "of", "account", "ends", "renewed"), rows, cut=("of",))
        if found["waits"]:
            print(f"gridcwl: {escaped(found['waits'])}", file=sys.stderr)
    return 0


def _add(connection: Connection, given: argparse.Namespace) -> int:
    kind, file = next(
        ((kind, file) for kind in ("token", "zooniverse") if (file := getattr(given, kind))),
        ("proxy", given.proxy or ""),
    )
    file = file or _own_proxy()
    try:
        text = Path(file).read_text("ascii")
    except (OSError, UnicodeDecodeError) as error:
        reason = getattr(error, "strerror", None) or "it is no text"
        raise ConfigError(f"The {kind} {file} cannot be read: {reason}") from None
    stored = connection.send_secret(
        "PUT", f"{NATIVE}/credentials/{kind}", {"text": text, "account": given.account or ""}
    )
    with connection.reading():
        what = {"zooniverse": "account at Zooniverse"}.get(kind, kind)
        until = "" if stored.get("unlimited") else f" until {_when(stored)}"
        print(f"gridcwl: {connection.url} has your {what}{until}", file=sys.stderr)
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
