"""``gridcwl basket``: items of an ESAP basket or rows of Virtual Observatory results, as inputs of a document."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from gridcwl.cli.parsing import Act, Parser, here_or_at_server
from gridcwl.errors import ConfigError, UsageError

if TYPE_CHECKING:
    from gridcwl.datasets.basket import Basket
    from gridcwl.datasets.items import Item
    from gridcwl.datasets.rules import Mapped, Port

_EPILOG = """\
  gridcwl basket list --host https://esap.example.org/
  gridcwl basket rules workflow.cwl > rules.yml       # see and edit them
  gridcwl basket inputs workflow.cwl --rules rules.yml --to inputs.yml
  gridcwl workflow.cwl inputs.yml
"""


def main(arguments: Sequence[str]) -> int:
    """Do what the first word says; returns the exit code.

    Raises:
        GridCWLError: the basket or the service cannot be reached, or a rule is wrong.
        SystemExit: ``--help``.
    """
    given = parser().parse_args(list(arguments))
    from gridcwl.cli.logs import set_up_logging

    set_up_logging(0)
    return int(given.act(given))


def parser() -> Parser:
    """The command line of ``gridcwl basket``."""
    made = Parser(
        prog="gridcwl basket",
        description="Items of an ESAP basket, or rows of Virtual Observatory results, as inputs.",
        epilog=_EPILOG,
    )
    actions = made.add_subparsers(metavar="ACTION", required=True)
    listed = actions.add_parser("list", help="list the items", description="List the items.")
    _add_sources(listed)
    listed.add_argument("--json", action="store_true", help="print JSON")
    listed.set_defaults(act=_here_or_there("list", _list))
    rules = actions.add_parser(
        "rules", help="print the usual mapping rules for a document", description="Print the usual mapping rules."
    )
    rules.add_argument("document", metavar="DOCUMENT", help="CWL file, or FILE#process")
    _add_server(rules)
    rules.set_defaults(act=_here_or_there("rules", _rules))
    inputs = actions.add_parser(
        "inputs", help="write the items as an input object", description="Write the items as an input object."
    )
    inputs.add_argument("document", metavar="DOCUMENT", help="CWL file, or FILE#process")
    _add_sources(inputs)
    inputs.add_argument("--rules", metavar="FILE", help="mapping rules (default: those that 'rules' prints)")
    inputs.add_argument("--to", metavar="FILE", help="write the input object to this file (default: stdout)")
    inputs.add_argument("--exports", metavar="DIR", default=".", help="folder for Zooniverse exports (default: .)")
    inputs.set_defaults(act=_here_or_there("inputs", _inputs))
    add = actions.add_parser(
        "add", help="add a run's outputs, DIDs or URLs to the basket", description="Add to the ESAP basket."
    )
    add.add_argument("what", nargs="+", metavar="RUN|DID|URL", help="a run's id or name, 'last', SCOPE:NAME, or a URL")
    add.add_argument("--state-dir", metavar="DIR", help="directory of run records")
    _add_gateway(add)
    add.set_defaults(act=_here_or_there("add", _add))
    return made


def _here_or_there(name: str, act: Act) -> Act:
    acting = here_or_at_server(name, act, _at_server)
    if name not in ("list", "inputs"):
        return acting

    def checked(given: argparse.Namespace) -> int:
        _check_sources(given)
        return acting(given)

    return checked


def _at_server() -> Mapping[str, Act]:
    from gridcwl.cli import server_baskets

    return server_baskets.ACTIONS


def _add_server(made: argparse.ArgumentParser) -> None:
    made.add_argument("--server", metavar="URL", help="have this gridcwl serve do it, with its ESAP gateway")


def _add_gateway(made: argparse.ArgumentParser) -> None:
    _add_server(made)
    made.add_argument("--host", metavar="URL", default="", help="the ESAP gateway (default: $ESAP_HOST)")
    made.add_argument("--token-file", metavar="FILE", help="file whose first line is a token for ESAP")


def _add_sources(made: argparse.ArgumentParser) -> None:
    _add_gateway(made)
    made.add_argument("--archive", action="append", default=[], metavar="NAME", help="only items of this archive")
    made.add_argument("--did", action="append", default=[], metavar="DID", help="this DID or URL, in place of a basket")
    made.add_argument("--tap", metavar="URL", help="rows of a TAP service, with --query")
    made.add_argument("--query", metavar="ADQL", help="the query for --tap")
    made.add_argument("--sia", metavar="URL", help="images of an SIA 2 service, with --pos")
    made.add_argument("--pos", metavar="RA,DEC,RADIUS", help="where --sia looks, in degrees")
    made.add_argument("--datalink", metavar="URL", help="the data (#this) of a DataLink document")
    made.add_argument("--votable", metavar="FILE", help="rows of a VOTable file")
    made.add_argument("--most", type=int, default=10_000, metavar="N", help="at most N rows (default 10000)")


def _check_sources(given: argparse.Namespace) -> None:
    sources = [name for name in ("tap", "sia", "datalink", "votable", "did") if getattr(given, name)]
    if len(sources) > 1:
        raise UsageError(f"basket: --{sources[0]} and --{sources[1]} exclude each other")
    if bool(given.tap) != bool(given.query) or bool(given.sia) != bool(given.pos):
        raise UsageError("basket: --tap goes with --query, and --sia with --pos")


def _basket(given: argparse.Namespace) -> Basket:
    """What the options choose: a service's rows, a file's, single DIDs, or the ESAP basket."""
    from gridcwl.datasets import vo
    from gridcwl.datasets.basket import Basket, basket, item_of_did

    if given.tap:
        return Basket(tuple(vo.tap(given.tap, given.query, most=given.most))).only(*given.archive or ["tap"])
    if given.sia:
        ra, dec, radius = position_of(given.pos)
        return Basket(tuple(vo.sia(given.sia, (ra, dec), radius, most=given.most)))
    if given.datalink:
        return Basket(tuple(vo.datalink(given.datalink, most=given.most)))
    if given.votable:
        return Basket(tuple(vo.votable(Path(given.votable), most=given.most)))
    if given.did:
        return Basket(tuple(item_of_did(did) for did in given.did))
    return basket(given.host, token=token_of(given), archives=given.archive)


def position_of(text: str) -> tuple[float, float, float]:
    """What ``--pos`` says."""
    try:
        ra, dec, radius = (float(one) for one in text.split(","))
    except ValueError:
        raise UsageError(f"--pos takes RA,DEC,RADIUS in degrees, not {text!r}") from None
    return ra, dec, radius


def token_of(given: argparse.Namespace) -> str:
    """The token in ``--token-file``; empty without one."""
    if not given.token_file:
        return ""
    try:
        with Path(given.token_file).open(encoding="ascii") as file:
            return file.readline(1 << 16).strip()
    except (OSError, UnicodeDecodeError):
        raise ConfigError(f"The token file {given.token_file} cannot be read") from None


def _list(given: argparse.Namespace) -> int:
    found = _basket(given)
    print_items(found.items, found.unknown, given.json)
    return 0


def print_items(items: Sequence[Item], unknown: Sequence[tuple[int, str]], as_json: bool) -> None:
    """The items as a table, or as ESAP writes them."""
    from gridcwl.cli.tables import show
    from gridcwl.datasets.items import as_written

    if as_json:
        print(json.dumps([as_written(item) for item in items], indent=2))
        return
    for number, reason in unknown:
        print(f"gridcwl: item {number} of the basket is left out: {reason}", file=sys.stderr)
    if not items:
        print("no items")
        return
    rows = [(str(item.number), item.archive, str(item.record.get("type") or ""), item.name) for item in items]
    show(("item", "archive", "type", "name"), rows, right=("item",))


def _rules(given: argparse.Namespace) -> int:
    from gridcwl.datasets.basket import ports_of
    from gridcwl.datasets.rules import usual_rules

    ports = ports_of(given.document)
    print_rules(given.document, ports, [rule.plain() for rule in usual_rules(ports)])
    return 0


def print_rules(document: str, ports: Sequence[Port], rules: list[dict[str, Any]]) -> None:
    """The rules as YAML, with comments."""
    from gridcwl.cli.exec_document import as_yaml

    takes = ", ".join(f"{port.name} ({port.kind}{'[]' if port.many else ''})" for port in ports)
    print(f"# Which items become which inputs of {document}: the first rule that fits.")
    print(f"# Its inputs: {takes or 'none'}")
    print("# where: {FIELD: PATTERN} chooses by fields of a record; {a|b} in a value is the first field that there is.")
    print(as_yaml({"rules": rules}), end="")


def _inputs(given: argparse.Namespace) -> int:
    rules: Any = None if given.rules is None else read_rules_file(given.rules)
    basket = _basket(given)
    return print_inputs(basket.map(given.document, rules, folder=given.exports), basket.unknown, given.to)


def print_inputs(found: Mapped, unknown: Sequence[tuple[int, str]], to: str | None) -> int:
    """The input object as YAML, and on stderr what became of the items; returns the exit code."""
    from gridcwl.cli.exec_document import as_yaml
    from gridcwl.datasets.rules import described

    text = as_yaml(found.inputs)
    if to:
        try:
            Path(to).write_text(text, "utf-8")
        except OSError as error:
            raise ConfigError(f"{to} cannot be written: {error.strerror}") from None
        print(f"gridcwl: wrote {to}", file=sys.stderr)
    else:
        print(text, end="")
    for number, reason in unknown:
        print(f"not used: item {number}: {reason}", file=sys.stderr)
    for line in described(found):
        print(line, file=sys.stderr)
    return 1 if found.problems or unknown else 0


def read_rules_file(name: str) -> Any:
    """Mapping rules as YAML."""
    from ruamel.yaml import YAML
    from ruamel.yaml.error import YAMLError

    try:
        return YAML(typ="safe").load(Path(name).read_text("utf-8"))
    except (OSError, UnicodeDecodeError, YAMLError) as error:
        reason = getattr(error, "strerror", None) or str(error).splitlines()[0]
        raise ConfigError(f"The rules {name} cannot be read: {reason}") from None


def _add(given: argparse.Namespace) -> int:
    from gridcwl.datasets.basket import item_of_did, outputs_as_items
    from gridcwl.datasets.esap import Esap
    from gridcwl.plugins import configuration
    from gridcwl.runs.record.folder import find

    state = (Path(given.state_dir) if given.state_dir else configuration().state()).absolute()
    items: list[Item] = []
    left = False
    for what in given.what:
        if ":" in what:
            items.append(item_of_did(what))
            continue
        made, local = outputs_as_items(find(state, what).folder)
        items += made
        for name in local:
            left = True
            print(f"not added: {name}: it is on this machine only; run with --store rucio", file=sys.stderr)
    count = Esap(given.host, token_of(given), ask=True).add(items) if items else 0
    print(f"gridcwl: {count} item(s) added, {len(items) - count} there already", file=sys.stderr)
    return 1 if left else 0
