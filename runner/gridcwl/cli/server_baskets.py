"""``gridcwl basket ... --server URL``: a service asks its ESAP gateway, and maps items to inputs."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any
from urllib.parse import quote

from gridcwl.cli.basket import position_of, print_inputs, print_items, print_rules, read_rules_file, token_of
from gridcwl.cli.server_runs import chosen_run
from gridcwl.cli.server_schedules import posted
from gridcwl.cli.terminal import escaped
from gridcwl.datasets.items import Item, as_written
from gridcwl.datasets.rules import Mapped, Port
from gridcwl.errors import UsageError
from gridcwl.remote.connection import NATIVE, Connection, form_of

PATH = f"{NATIVE}/baskets"


def _connection(given: argparse.Namespace) -> tuple[Connection, str]:
    """The service, and the token for ESAP that it is to use; empty for that of the login."""
    if given.host:
        raise UsageError("basket: --host and --server exclude each other: a service has a gateway of its own")
    connection, token = Connection(given.server), token_of(given)
    if token:
        connection.check_encrypted("the token for ESAP")
    return connection, token


def _source(given: argparse.Namespace, token: str) -> dict[str, Any]:
    """Where items come from, as the service knows it. A file is read here."""
    about: dict[str, Any] = {"token": token, "archives": given.archive}
    if given.did:
        return about | {"source": "did", "dids": given.did}
    if given.votable:
        from gridcwl.datasets import vo

        items = vo.votable(Path(given.votable), most=given.most)
        return about | {"source": "items", "items": [as_written(item) for item in items]}
    if given.tap:
        return about | {"source": "tap", "url": given.tap, "query": given.query, "most": given.most}
    if given.sia:
        return about | {"source": "sia", "url": given.sia, "position": position_of(given.pos), "most": given.most}
    if given.datalink:
        return about | {"source": "datalink", "url": given.datalink, "most": given.most}
    return about


def _list(given: argparse.Namespace) -> int:
    connection, token = _connection(given)
    answer = connection.post(f"{PATH}/items", json=_source(given, token))
    with connection.reading():
        items = [_item(one) for one in answer["items"]]
        unknown = [(int(one["number"]), escaped(str(one["reason"]))) for one in answer["unknown"]]
        print_items(items, unknown, given.json)
    return 0


def _item(one: Any) -> Item:
    return Item(escaped(str(one["archive"])), dict(json.loads(json.dumps(one["record"]))), int(one["number"]))


def _rules(given: argparse.Namespace) -> int:
    connection = Connection(given.server)
    answer = _sent(connection, "rules", {}, given.document)
    with connection.reading():
        ports = [
            Port(escaped(str(one["name"])), escaped(str(one["type"])), bool(one["many"])) for one in answer["inputs"]
        ]
        print_rules(given.document, ports, json.loads(json.dumps(answer["rules"])))
    return 0


def _inputs(given: argparse.Namespace) -> int:
    rules: Any = None if given.rules is None else read_rules_file(given.rules)
    connection, token = _connection(given)
    answer = _sent(connection, "inputs", {**_source(given, token), "rules": rules}, given.document)
    with connection.reading():
        found, unknown = _mapped(answer)
    return print_inputs(found, unknown, given.to)


def _mapped(answer: Any) -> tuple[Mapped, list[tuple[int, str]]]:
    """The inputs of an answer, and what is unknown with its reasons."""
    found = Mapped(dict(json.loads(json.dumps(answer["inputs"]))), {}, [])
    unknown = []
    for one in answer["items"]:
        reason = escaped(str(one["reason"]))
        if not one["archive"]:
            unknown.append((int(one["number"]), reason))
            continue
        item = _item(one)
        for name in one["inputs"]:
            found.used.setdefault(escaped(str(name)), []).append(item)
        if reason:
            found.problems.append((item, reason))
    return found, unknown


def _sent(connection: Connection, what: str, about: Any, document: str) -> Any:
    """Send a document of this machine, or the name of one in the service's catalogue."""
    path = f"{PATH}/{what}"
    if Path(document.partition("#")[0]).exists() or ":" in document:
        return posted(connection, path, "basket", about, [document])
    url = connection.get(f"{NATIVE}/catalogue/{quote(document, safe='')}")["workflow_url"]
    return connection.post(path, files=list(form_of({"workflow_url": str(url), "basket": json.dumps(about)}, {})))


def _add(given: argparse.Namespace) -> int:
    connection, token = _connection(given)
    added = present = 0
    left: list[str] = []
    direct = [what for what in given.what if ":" in what]
    paths = [f"{NATIVE}/runs/{quote(chosen_run(connection, what))}/basket" for what in given.what if ":" not in what]
    for path in [*paths, *([f"{PATH}/add"] if direct else [])]:
        items = direct if path == f"{PATH}/add" else []
        answer = connection.post(path, json={"token": token, "items": items})
        with connection.reading():
            added, present = added + int(answer["added"]), present + int(answer["present"])
            left += [escaped(str(one)) for one in answer["left"]]
    for name in left:
        print(f"not added: {name}: it is at the service only, and not in Rucio", file=sys.stderr)
    print(f"gridcwl: {added} item(s) added, {present} there already", file=sys.stderr)
    return 1 if left else 0


ACTIONS: dict[str, Callable[[argparse.Namespace], int]] = {
    "list": _list,
    "rules": _rules,
    "inputs": _inputs,
    "add": _add,
}
"""By the words of the command line."""
