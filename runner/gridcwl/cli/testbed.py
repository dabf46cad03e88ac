"""``gridcwl testbed``: a real Rucio and a real DIRAC on this machine, brought up, looked at and taken down."""

from __future__ import annotations

import argparse
import shlex
import sys
from collections.abc import Sequence
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

from gridcwl import imports
from gridcwl.cli.parsing import Parser, positive
from gridcwl.errors import ConfigError


def main(arguments: Sequence[str]) -> int:
    """Do what the word after ``testbed`` says; returns the exit code.

    Raises:
        GridCWLError: a server cannot be installed, started or reached.
        SystemExit: ``--help``, or a mistake that argparse has reported.
    """
    for package in ("cryptography", "psutil"):
        imports.require(package, "The testbed", "testbed")
    given = _parser().parse_args(arguments)
    result: int = given.act(given)
    return result


def _parser() -> argparse.ArgumentParser:
    parser = Parser(prog="gridcwl testbed", description="a real DIRAC and a real Rucio on this machine")
    actions = parser.add_subparsers(metavar="COMMAND", required=True)

    def command(name: str, act: Any, text: str) -> argparse.ArgumentParser:
        made = actions.add_parser(name, help=text, description=text)
        made.add_argument("--dir", type=Path, metavar="DIR", help="the testbed's folder; your own testbed by default")
        made.set_defaults(act=act)
        return made

    _add_up(command("up", _up, "install what is missing, start or restart servers that do not answer"))
    command("status", _status, "state of each server")
    logs = command("logs", _logs, "logs of a server")
    logs.add_argument("service", metavar="SERVICE", nargs="?", help="which; without it, those that there are")
    env = command("env", _env, "print the exports for a shell: eval $(gridcwl testbed env)")
    env.add_argument("--account", default="runner", help="who to be for Rucio: root, runner, alice or bob")
    command("seed", _seed, "create missing accounts, scopes, storage elements and sites")
    command("selftest", _selftest, "check that it works: files, jobs and a kill, with the servers' own clients")
    daemons = command("rucio-daemons", _daemons, "run Rucio's daemons once: rules, transfers, deletions")
    daemons.add_argument("--loop", type=positive, metavar="SECONDS", help="repeat until the testbed is down")
    token = command("token", _token, "print an access token of the testbed's issuer")
    token.add_argument("user", metavar="USER", help="whose: runner, alice or anybody")
    token.add_argument("--lifetime", type=int, metavar="SECONDS", help="negative: it has expired")
    down = command("down", _down, "stop everything that the testbed started")
    down.add_argument("--wipe", action="store_true", help="and remove its folder")
    return parser


def _add_up(parser: argparse.ArgumentParser) -> None:
    from gridcwl.testbed.testbed import SERVICES

    parser.add_argument(
        "--with", dest="services", metavar="NAMES", help=f"which, with commas between them, of {', '.join(SERVICES)}"
    )
    parser.add_argument("--pilots", type=positive, metavar="N", help="pilots at each site")
    parser.add_argument("--light-pilots", type=_count, metavar="N", help="slots of DIRAC's light pilot, for short jobs")
    parser.add_argument(
        "--max-parametric-jobs", type=positive, metavar="N", help="how many jobs DIRAC takes in one submission"
    )
    parser.add_argument("--db", dest="database", choices=("postgresql", "sqlite"), help="Rucio's database")
    parser.add_argument("--policy", choices=("generic", "escape", "ctao"), help="Rucio's rights and names")
    parser.add_argument(
        "--port", dest="ports", action="append", type=_port, metavar="NAME=NUMBER", help="a port of your choice"
    )
    parser.add_argument("--proxy-lifetime", type=_hours, metavar="HOURS", help="how long proxies are good")
    parser.add_argument("--token-lifetime", type=_hours, metavar="HOURS", help="how long tokens are good")


def _port(text: str) -> tuple[str, int]:
    name, equals, number = text.partition("=")
    if not (name and equals and number.isdecimal() and 0 < int(number) < 65536):
        raise argparse.ArgumentTypeError("takes NAME=NUMBER, as in rucio=8443")
    return name, int(number)


def _count(text: str) -> int:
    if not text.isdecimal():
        raise argparse.ArgumentTypeError("takes a number, or 0 for none")
    return int(text)


def _hours(text: str) -> timedelta:
    try:
        return timedelta(hours=float(text))
    except (ValueError, OverflowError):
        raise argparse.ArgumentTypeError("takes a number of hours") from None


def _testbed(given: argparse.Namespace) -> Any:
    """The testbed, which has to be there."""
    from gridcwl.testbed.testbed import Testbed

    testbed = Testbed(given.dir)
    if not testbed.exists:
        raise ConfigError(f"There is no testbed in {testbed.place.root}", remedy="Make one: gridcwl testbed up.")
    return testbed


def say(text: str) -> None:
    """What is done now, for the person."""
    print(text, file=sys.stderr, flush=True)


def _up(given: argparse.Namespace) -> int:
    from gridcwl.testbed.testbed import Testbed

    testbed = Testbed(given.dir)
    names = ("pilots", "light_pilots", "max_parametric_jobs", "database", "policy", "proxy_lifetime", "token_lifetime")
    changes = {name: value for name in names if (value := getattr(given, name)) is not None}
    if given.services:
        changes["services"] = tuple(word.strip() for word in given.services.split(",") if word.strip())
        changes["diracx_sandboxes"] = "diracx" in changes["services"]
    if given.ports:
        changes["ports"] = {**testbed.options.ports, **dict(given.ports)}
    testbed = Testbed(given.dir, replace(testbed.options, **changes))
    testbed.up(say)
    say(f"The testbed is up in {testbed.place.root}; use it: eval $({_command(given, 'env')})")
    return 0


def _command(given: argparse.Namespace, word: str) -> str:
    return shlex.join(["gridcwl", "testbed", word, *(["--dir", str(given.dir)] if given.dir else [])])


def _status(given: argparse.Namespace) -> int:
    from gridcwl.cli import tables

    found = _testbed(given).status()
    rows = [(each.name, each.state, str(each.pid or ""), str(each.port or ""), each.detail) for each in found]
    tables.show(("service", "state", "pid", "port", ""), rows, right=("pid", "port"))
    return 0 if all(each.state == "up" for each in found) else 1


def _logs(given: argparse.Namespace) -> int:
    import shutil

    testbed = _testbed(given)
    if given.service is None:
        print("\n".join(testbed.logs()))
        return 0
    if given.service not in testbed.logs():
        known = ", ".join(testbed.logs()) or "none yet"
        raise ConfigError(f"The testbed has no log of {given.service!r}", remedy=f"There are: {known}.")
    with testbed.place.log(given.service).open("rb") as log:
        sys.stdout.flush()
        shutil.copyfileobj(log, sys.stdout.buffer)
    return 0


def _env(given: argparse.Namespace) -> int:
    testbed = _testbed(given)
    exports = testbed.exports()
    if given.account != "runner":
        from gridcwl.testbed.rucio.contents import ACCOUNTS

        if given.account not in (known := [each.name for each in ACCOUNTS]):
            raise ConfigError(f"The testbed has no account {given.account!r}", remedy=f"There are: {', '.join(known)}.")
        exports |= testbed.service("rucio").clients.exports(given.account)
    for name, value in exports.items():
        print(f"export {name}={shlex.quote(value)}")
    return 0


def _seed(given: argparse.Namespace) -> int:
    _testbed(given).seed(say)
    return 0


def _selftest(given: argparse.Namespace) -> int:
    from gridcwl.cli import tables
    from gridcwl.testbed.selftest import selftest

    rows = selftest(_testbed(given), say)
    shown = [
        (each.service, each.what, "success" if each.passed else "failed", f"{each.seconds:.1f} s") for each in rows
    ]
    tables.show(("service", "what", "result", "took"), shown, right=("took",))
    for each in rows:
        if not each.passed:
            say(f"{each.what}: {each.detail}")
    return 0 if all(each.passed for each in rows) else 1


def _daemons(given: argparse.Namespace) -> int:
    rucio = _testbed(given).service("rucio")
    if given.loop:
        rucio.start_daemons(float(given.loop), say)
    else:
        print(rucio.run_daemons(), end="")
    return 0


def _token(given: argparse.Namespace) -> int:
    lifetime = None if given.lifetime is None else timedelta(seconds=given.lifetime)
    print(_testbed(given).service("oidc").token(given.user, lifetime))
    return 0


def _down(given: argparse.Namespace) -> int:
    from gridcwl.testbed.testbed import Testbed

    testbed = Testbed(given.dir)
    testbed.down(say, wipe=given.wipe)
    say(f"The testbed in {testbed.place.root} is {'gone' if given.wipe else 'down'}")
    return 0
