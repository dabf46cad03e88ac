"""``gridcwl serve``: gridcwl as a service, until SIGINT or SIGTERM."""

from __future__ import annotations

import argparse
import asyncio
import logging
import os
import signal
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from gridcwl import imports
from gridcwl.cli.logs import set_up_logging
from gridcwl.cli.parsing import Parser

_NEEDED = ("fastapi", "uvicorn", "sqlalchemy", "alembic", "python_multipart", "prometheus_client", "jinja2")

_ARCHIVES = {
    "backup": "Write the database and the folder of a service into one file; the service may be running. The keys of "
    "credentials are not in it.",
    "restore": "Put a backup into an empty folder and an empty database. Runs that were active are resumed by the next "
    "gridcwl serve there.",
}


def main(arguments: Sequence[str]) -> int:
    """Serve; returns the exit code.

    Raises:
        GridCWLError: the settings are wrong, or what they name is unavailable.
    """
    if arguments and arguments[0] in _ARCHIVES:
        return _archive(arguments[0], arguments[1:])
    given = _from_here(vars(_parser().parse_args(arguments)))
    for package in _NEEDED:
        imports.require(package, "gridcwl serve")
    set_up_logging(given.pop("loudness") or 0, timestamps=True)
    logging.getLogger("python_multipart").setLevel(logging.ERROR)  # clients' mistakes are answered, not logged
    logging.getLogger("uvicorn.error").setLevel(logging.ERROR)
    if given.pop("drive"):
        from gridcwl.service.driver_processes import drive

        drive()
        return 0
    from gridcwl.service.settings import load

    file = given.pop("config")
    settings = load(Path(file) if file else None, given, {"catalogue": ["gridcwl"]})
    try:
        asyncio.run(_serve(settings))
    except KeyboardInterrupt:  # before the handlers were there
        return 130
    return 0


def _from_here(given: dict[str, Any]) -> dict[str, Any]:
    """The options, with a folder that counts from the current one and not from that of the configuration."""
    return given | ({"folder": str(Path(given["folder"]).absolute())} if given.get("folder") else {})


def _archive(action: str, arguments: Sequence[str]) -> int:
    """``gridcwl serve backup`` and ``restore``."""
    parser = Parser(prog=f"gridcwl serve {action}", description=_ARCHIVES[action])
    parser.add_argument("archive", metavar="ARCHIVE", help="a .tar.gz file")
    parser.add_argument("--db", metavar="URL", help="database (default: in DIR)")
    parser.add_argument("--dir", dest="folder", metavar="DIR", help="the service's folder")
    parser.add_argument("--config", metavar="FILE", help="TOML file of the service's settings")
    given = _from_here(vars(parser.parse_args(arguments)))
    for package in _NEEDED:
        imports.require(package, "gridcwl serve")
    from gridcwl.service import backup
    from gridcwl.service.settings import load

    archive, file = Path(given.pop("archive")), given.pop("config")
    settings = load(Path(file) if file else None, given)
    if action == "backup":
        backup.back_up(settings, archive)
        print(f"gridcwl: {archive} has all of {settings.folder} and its database", file=sys.stderr)
    else:
        backup.restore(settings, archive)
        print(f"gridcwl: {archive} is restored into {settings.folder}; start gridcwl serve there", file=sys.stderr)
    return 0


async def _serve(settings: Any) -> None:
    from gridcwl.service.serving import serve

    loop, stop = asyncio.get_running_loop(), asyncio.Event()

    def end(number: signal.Signals) -> None:
        if stop.is_set():
            os._exit(128 + number)  # the second one does not wait for jobs
        print("gridcwl: stopping; active runs are resumed by the next gridcwl serve", file=sys.stderr)
        stop.set()

    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, end, number)
    await serve(settings, lambda url: print(url, flush=True), stop)


def _parser() -> Parser:
    parser = Parser(
        prog="gridcwl serve",
        description="Serve GA4GH WES 1.1, for gridcwl --server and other clients. Prints its URL once it answers. "
        "Runs that were active when it ended, or was killed, are resumed. gridcwl serve backup ARCHIVE and "
        "gridcwl serve restore ARCHIVE save and restore all of it.",
    )
    parser.add_argument("--host", metavar="ADDRESS", help="listen there (default 127.0.0.1; others need [auth])")
    parser.add_argument("--port", type=int, metavar="N", help="port to listen on (default 8080; 0 takes a free one)")
    parser.add_argument(
        "--unix-socket", metavar="PATH", help="listen on this socket, for its owner only, in place of host and port"
    )
    parser.add_argument("--db", metavar="URL", help="database: sqlite:///FILE or postgresql://... (default: in DIR)")
    parser.add_argument("--dir", dest="folder", metavar="DIR", help="folder for uploads, journals and outputs")
    parser.add_argument(
        "--drivers",
        type=int,
        metavar="N",
        help="processes that work on runs; others may do so on the same database (default: this one does)",
    )
    parser.add_argument("--drive", action="store_true", help=argparse.SUPPRESS)
    parser.add_argument("--config", metavar="FILE", help="TOML file of the service's settings")
    loudness = parser.add_mutually_exclusive_group()
    loudness.add_argument("--quiet", dest="loudness", action="store_const", const=-1, help="errors only")
    loudness.add_argument("--verbose", dest="loudness", action="store_const", const=1, help="more messages")
    loudness.add_argument("--debug", dest="loudness", action="store_const", const=2, help=argparse.SUPPRESS)
    return parser
