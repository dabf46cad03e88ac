"""``gridcwl pool``: nodes in DIRAC jobs that wait for jobs of yours, so that these start at once."""

from __future__ import annotations

import argparse
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from gridcwl import imports, plugins
from gridcwl.cli.parsing import Parser, acted, positive, seconds
from gridcwl.cli.tables import show
from gridcwl.errors import BackendError

if TYPE_CHECKING:
    from gridcwl.backends.dask.pool import Pool

_EPILOG = """\
  gridcwl pool up --workers 8 --cores 2 --site LCG.Lyon.fr --idle 30m
  gridcwl --backend pool workflow.cwl inputs.yml
  gridcwl pool down
"""


def main(arguments: Sequence[str]) -> int:
    """Do what the first word says; returns the exit code.

    Raises:
        GridCWLError: an option is wrong, there is no such pool, or DIRAC does not answer.
        SystemExit: ``--help``.
    """
    imports.require("distributed", "gridcwl pool", "dask")
    return acted(parser(), arguments)


def parser() -> Parser:
    """The command line of ``gridcwl pool``."""
    made = Parser(
        prog="gridcwl pool",
        description="Nodes in DIRAC jobs that wait for jobs of yours, so that these start at once.",
        epilog=_EPILOG,
    )
    actions = made.add_subparsers(metavar="ACTION", required=True)
    up = actions.add_parser("up", help="start a pool", description="Start a pool.")
    up.add_argument("--name", metavar="NAME", default="default", help="of the pool (default: default)")
    up.add_argument("--workers", metavar="N", type=positive, default=1, help="nodes, each a DIRAC job (default: 1)")
    up.add_argument("--cores", metavar="N", type=positive, default=1, help="processors of each (default: 1)")
    up.add_argument("--ram", metavar="MIB", type=positive, default=2048, help="memory of each (default: 2048)")
    up.add_argument("--site", metavar="SITE", default="", help="where they run (default: anywhere)")
    up.add_argument(
        "--image", metavar="IMAGE", default="", help="container image that has the tools, and Python 3.9 or newer"
    )
    up.add_argument(
        "--idle", metavar="TIME", type=seconds, default=1800, help="end when nothing ran for so long (default: 30m)"
    )
    up.add_argument(
        "--time", metavar="TIME", type=seconds, default=8 * 3600, help="CPU time of each DIRAC job (default: 8h)"
    )
    up.add_argument("--host", metavar="HOST", default="", help="name or address by which sites reach this machine")
    up.add_argument("--backend", choices=("dirac", "diracx"), default="dirac", help="by which DIRAC is reached")
    up.set_defaults(act=_up)
    listed = actions.add_parser("ls", help="list the pools", description="List the pools.")
    listed.set_defaults(act=_ls)
    scale = actions.add_parser("scale", help="add or end nodes", description="Add or end nodes.")
    scale.add_argument("name", metavar="NAME", nargs="?", default="default", help="of the pool")
    scale.add_argument("--workers", metavar="N", type=positive, required=True, help="how many there are to be")
    scale.set_defaults(act=_scale)
    down = actions.add_parser("down", help="end a pool", description="End a pool, with all that runs there.")
    down.add_argument("name", metavar="NAME", nargs="?", default="default", help="of the pool")
    down.set_defaults(act=_down)
    return made


def _up(given: argparse.Namespace) -> int:
    from gridcwl.backends.dask import pool as pools

    wanted = pools.Pool(
        name=given.name,
        id="",
        cores=given.cores,
        ram=given.ram,
        site=given.site,
        image=given.image,
        time_s=given.time,
        idle_s=given.idle,
        host=given.host,
        backend=given.backend,
    )
    with plugins.loaded(plugins.backend(given.backend)).open_server(given.backend) as server:
        server.credential()
        pool = pools.create(wanted)
        try:
            with tempfile.TemporaryDirectory(prefix="gridcwl-pool-") as folder:
                pool = pools.add_workers(pool, given.workers, server, Path(folder))
        except BaseException:
            pools.end(pool, server)
            raise
    print(f"Pool {pool.name}: {len(pool.jobs)} DIRAC jobs submitted; they connect to {pool.host}:{pool.port}")
    return 0


def _ls(_given: argparse.Namespace) -> int:
    from gridcwl.backends.dask import pool as pools

    rows = []
    for pool in pools.pools():
        try:
            nodes = str(len(pools.workers(pool))) if pools.is_alive(pool) else "ended"
        except BackendError:
            nodes = "no answer"
        rows.append([pool.name, nodes, str(len(pool.jobs)), str(pool.cores), pool.site or "any", pool.image])
    show(("pool", "nodes", "DIRAC jobs", "cores", "site", "image"), rows, right=("nodes", "DIRAC jobs", "cores"))
    return 0


def _scale(given: argparse.Namespace) -> int:
    from gridcwl.backends.dask import pool as pools

    pool = pools.load(given.name)
    there = len(pools.workers(pool))
    if given.workers <= there:
        pools.retire(pool, there - given.workers)
        print(f"Pool {pool.name}: {there - given.workers} of {there} nodes end")
        return 0
    return _more(pool, given.workers - there)


def _more(pool: Pool, number: int) -> int:
    from gridcwl.backends.dask import pool as pools

    with (
        plugins.loaded(plugins.backend(pool.backend)).open_server(pool.backend) as server,
        tempfile.TemporaryDirectory(prefix="gridcwl-pool-") as folder,
    ):
        pools.add_workers(pool, number, server, Path(folder))
    print(f"Pool {pool.name}: {number} more DIRAC jobs submitted")
    return 0


def _down(given: argparse.Namespace) -> int:
    from gridcwl.backends.dask import pool as pools

    pool = pools.load(given.name)
    with plugins.loaded(plugins.backend(pool.backend)).open_server(pool.backend) as server:
        pools.end(pool, server)
    print(f"Pool {pool.name} has ended")
    return 0
