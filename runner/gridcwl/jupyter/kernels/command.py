"""``gridcwl kernel``: Jupyter kernels as jobs, in JupyterLab's launcher."""

from __future__ import annotations

import argparse
import contextlib
import json
import sys
from collections.abc import Sequence

from gridcwl import imports, plugins
from gridcwl.cli.parsing import Parser, acted, positive, seconds
from gridcwl.cli.tables import show
from gridcwl.errors import UsageError
from gridcwl.jupyter.kernels.model import KernelRequest, Record, active
from gridcwl.worker.cli_vectors import KINDS

_EPILOG = """\
  gridcwl kernel add --image gridcwl/ctapipe:0.32.0 --site LCG.Lyon.fr --cores 4
  gridcwl kernel add here --image gridcwl/ctapipe:0.32.0 --backend local
  gridcwl kernel ls
"""


def main(arguments: Sequence[str]) -> int:
    """Do what the first word says; returns the exit code.

    Raises:
        GridCWLError: an option is wrong, or there is no such kernel.
        SystemExit: ``--help``.
    """
    imports.require("jupyter_client", "gridcwl kernel", "jupyter")
    return acted(parser(), arguments)


def parser() -> Parser:
    """The command line of ``gridcwl kernel``."""
    made = Parser(
        prog="gridcwl kernel",
        description="Jupyter kernels as jobs: choose one in JupyterLab's launcher, and the notebook's code runs in a "
        "container at a site, next to the data.",
        epilog=_EPILOG,
    )
    actions = made.add_subparsers(metavar="ACTION", required=True)
    add = actions.add_parser("add", help="add a kernel to the launcher", description="Add a kernel to the launcher.")
    add.add_argument("name", metavar="NAME", nargs="?", default="", help="of the kernel (default: made of the title)")
    add.add_argument("--title", metavar="TEXT", default="", help="in the launcher (default: image @ site)")
    add.add_argument("--image", metavar="IMAGE", default="", help="container image with ipykernel (default: none)")
    add.add_argument("--site", metavar="SITE", default="", help="where it runs (default: anywhere)")
    add.add_argument("--cores", metavar="N", type=positive, default=1, help="processors (default: 1)")
    add.add_argument("--ram", metavar="MIB", type=positive, default=2048, help="memory (default: 2048)")
    add.add_argument(
        "-i", "--input", action="append", default=[], metavar="DID",
        help="DID or URL that is a file in the kernel's folder; may be repeated",
    )  # fmt: skip
    add.add_argument(
        "--backend", metavar="NAME", choices=_backends(), default="dirac",
        help=f"where jobs run: {', '.join(_backends())} (default: dirac)",
    )  # fmt: skip
    add.add_argument(
        "--engine", choices=KINDS, default="", help="with --backend local: the container engine (default: configured)"
    )
    add.add_argument(
        "--idle", metavar="TIME", type=seconds, default=1800, help="end when idle for so long (default: 30m)"
    )
    add.add_argument(
        "--time", metavar="TIME", type=seconds, default=8 * 3600, help="time that its job may take (default: 8h)"
    )
    add.add_argument(
        "--start", metavar="TIME", type=seconds, default=900, help="wait so long for its start (default: 15m)"
    )
    add.add_argument(
        "--lost", metavar="TIME", type=seconds, default=600,
        help="keep the kernel so long when the connection is lost (default: 10m)",
    )  # fmt: skip
    add.add_argument("--host", metavar="HOST", default="", help="name or address by which sites reach this machine")
    add.add_argument(
        "--sys-prefix", action="store_true", help="for all users of this Python environment (default: for you)"
    )
    add.set_defaults(act=_add)
    listed = actions.add_parser("ls", help="list the kernels", description="List the kernels, and which are active.")
    listed.add_argument("--json", action="store_true", help="print JSON")
    listed.set_defaults(act=_ls)
    remove = actions.add_parser(
        "rm",
        help="remove a kernel",
        description="Remove a kernel from the launcher, and end those of it that are active.",
    )
    remove.add_argument("name", metavar="NAME", help="of the kernel")
    remove.set_defaults(act=_rm)
    return made


def _backends() -> list[str]:
    return [name for name, plugin in plugins.backends().items() if "open_nodes" in plugin.hooks]


def _add(given: argparse.Namespace) -> int:
    from gridcwl.jupyter.kernels import specs

    request = KernelRequest(
        backend=given.backend, image=given.image, engine=given.engine, site=given.site,
        cores=given.cores, ram=given.ram,
        idle_s=given.idle, time_s=given.time, start_s=given.start, lost_s=given.lost, host=given.host,
        inputs=tuple(_checked(text) for text in given.input),
    )  # fmt: skip
    local = request.backend == "local"
    if local and request.site:
        raise UsageError("kernel add: --site needs another backend than local", remedy="Leave out --site.")
    if request.engine and (not local or not request.image):
        raise UsageError(
            "kernel add: --engine needs --backend local and --image", remedy="[dirac] engines has those of sites."
        )
    plugins.require(plugins.backend(request.backend))
    title = given.title or specs.title_of(request)
    name = given.name or specs.name_of(title)
    folder = specs.add(name, title, request, sys.prefix if given.sys_prefix else None)
    print(f"Kernel {name}: {title} is in JupyterLab's launcher ({folder})")
    return 0


def _checked(text: str) -> str:
    if text.startswith(("https://", "http://")):
        return text
    store = plugins.store_of_location(text) or ("" if "://" in text else plugins.store_of_name(text))
    if not store or not plugins.store(store).between_jobs or store == "local":
        raise UsageError(
            f"kernel add: -i takes DIDs and URLs, not {text}",
            remedy="Upload files of this machine to Rucio, or write them from the notebook.",
        )
    return text


def _ls(given: argparse.Namespace) -> int:
    from gridcwl.jupyter.kernels import specs

    running: dict[str, list[Record]] = {}
    for record in active():
        running.setdefault(record.name, []).append(record)
    found = list(specs.specs())
    if given.json:
        rows = [
            {
                "name": spec.name, "title": spec.title, "backend": spec.request.backend, "site": spec.request.site,
                "image": spec.request.image, "cores": spec.request.cores,
                "active": [{"id": record.id, "notebook": record.notebook} for record in running.get(spec.name, [])],
            }
            for spec in found
        ]  # fmt: skip
        print(json.dumps(rows, indent=2))
        return 0
    table = [
        [
            spec.name, spec.title, spec.request.backend, str(spec.request.cores), spec.request.image or "none",
            str(len(running.get(spec.name, []))),
        ]
        for spec in found
    ]  # fmt: skip
    show(("kernel", "title", "backend", "cores", "image", "active"), table, right=("cores", "active"))
    return 0


def _rm(given: argparse.Namespace) -> int:
    from gridcwl.jupyter.kernels import specs
    from gridcwl.jupyter.kernels.provisioner import asked

    specs.remove(given.name)
    ended = 0
    for record in active():
        if record.name == given.name:
            with contextlib.suppress(OSError, ValueError):
                asked(record, {"do": "end"})
                ended += 1
    print(f"Kernel {given.name} was removed{f'; {ended} active ones end' if ended else ''}")
    return 0
