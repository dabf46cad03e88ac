"""``gridcwl pool``: nodes in DIRAC jobs that wait for jobs of yours, so that these start at once."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from contextlib import AbstractContextManager
from typing import TYPE_CHECKING

from gridcwl import imports, plugins
from gridcwl.cli.parsing import Parser, acted, positive, seconds
from gridcwl.cli.tables import show
from gridcwl.errors import BackendError, ConfigError

if TYPE_CHECKING:
    from gridcwl.backends.nodes import PoolHost, WarmPools

_HOSTS = "open_pool_nodes"

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
    hosts = plugins.backends_with(_HOSTS)
    up.add_argument("--backend", choices=hosts, default="dirac", help="by which DIRAC is reached")
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


def _pools() -> WarmPools:
    pools: WarmPools = plugins.call(plugins.backend("pool"), "pools")
    return pools


def _host(backend: str) -> AbstractContextManager[PoolHost]:
    """Whose jobs a pool's nodes are."""
    plugin = plugins.backend(backend)
    if _HOSTS not in plugin.hooks:
        raise ConfigError(f"The backend {backend} has no nodes for pools")
    opened: AbstractContextManager[PoolHost] = plugins.call(
        plugin, _HOSTS, plugins.configured(plugin, plugins.configuration())
    )
    return opened


def _up(given: argparse.Namespace) -> int:
    from gridcwl.backends.nodes import PoolRequest

    request = PoolRequest(
        name=given.name,
        backend=given.backend,
        nodes=given.workers,
        cores=given.cores,
        ram_mib=given.ram,
        site=given.site,
        image=given.image,
        time_s=given.time,
        idle_s=given.idle,
        host=given.host,
    )
    pool = _pools().start(request, _host)
    print(f"Pool {pool.name}: {pool.jobs} {pool.kind} submitted; they connect to {pool.address}")
    return 0


def _ls(_given: argparse.Namespace) -> int:
    pools = _pools()
    found = pools.all()
    kinds = {pool.kind for pool in found} or {"DIRAC jobs"}
    jobs = kinds.pop() if len(kinds) == 1 else "batch jobs"
    rows = []
    for pool in found:
        try:
            nodes = str(pools.connected(pool.name)) if pool.is_alive else "ended"
        except BackendError:
            nodes = "no answer"
        rows.append([pool.name, nodes, str(pool.jobs), str(pool.cores), pool.site or "any", pool.image])
    show(("pool", "nodes", jobs, "cores", "site", "image"), rows, right=("nodes", jobs, "cores"))
    return 0


def _scale(given: argparse.Namespace) -> int:
    pools = _pools()
    there = pools.connected(given.name)
    if given.workers <= there:
        pools.retire(given.name, there - given.workers)
        print(f"Pool {given.name}: {there - given.workers} of {there} nodes end")
        return 0
    more = given.workers - there
    pool = pools.add(given.name, more, _host)
    print(f"Pool {given.name}: {more} more {pool.kind} submitted")
    return 0


def _down(given: argparse.Namespace) -> int:
    _pools().end(given.name, _host)
    print(f"Pool {given.name} has ended")
    return 0
