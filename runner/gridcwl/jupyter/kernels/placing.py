"""Nodes of kernels, started and ended by backends: ``python -m gridcwl.jupyter.kernels.placing ACTION FOLDER``.

A process of its own for each action, for the clients of batch systems and of Rucio are large, block, and print. The
last line on stdout is a JSON object.
"""

from __future__ import annotations

import asyncio
import json
import os
import sys
import time
from collections.abc import Sequence
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import Any

from gridcwl import plugins
from gridcwl.backends.nodes import NodeHost, NodeRequest, own_address, sandbox_files
from gridcwl.cli.shell import files_in, free_path
from gridcwl.errors import GridCWLError, StoreError, UsageError
from gridcwl.jupyter.kernels.model import DIRECTORIES, SETTINGS, KernelRequest, Record, load, plain_job
from gridcwl.model import Job, StagedFile
from gridcwl.model.codec import to_plain

_MARGIN_S = 300
"""So long before its job's time is over a node ends."""
_END_S = 20.0
_ENGINES = ("docker", "podman", "apptainer", "singularity")
"""Of this machine, in the order in which they are looked for."""


def start(record: Record, port: int, host: NodeHost, sites: Any) -> str:
    """Start the node of a kernel, which connects to this port; returns its id."""
    request = record.request
    folder = record.folder / f"job-{len(list(record.folder.glob('job-*'))) + 1}"
    folder.mkdir(mode=0o700)
    address = request.host or ("127.0.0.1" if request.backend == "local" else own_address())
    about = {
        "host": address,
        "port": port,
        "folder": "kernel",
        "sites": sites,
        "time_s": max(60, request.time_s - _MARGIN_S),
        "grace_s": request.lost_s,
    }
    files = sandbox_files(folder, record.folder, "gridcwl.worker.kernel_node", SETTINGS, about)
    group = f"gridcwl-kernel-{record.id}"
    node = NodeRequest(group, tuple(files), request.cores, request.ram, request.time_s, request.site, prefix="kernel-")
    return host.start(node)


def job(record: Record, inputs: Sequence[str]) -> Job:
    """The kernel as a job, with the sources of its inputs.

    Raises:
        UsageError: an input is neither a DID nor a URL.
        StoreError: one is unknown, or has no replica.
    """
    made = plain_job(record)
    taken: dict[str, StagedFile] = {}
    of_stores: dict[str, list[str]] = {}
    for text in dict.fromkeys(inputs):
        store = plugins.store_of_location(text) or ("" if "://" in text else plugins.store_of_name(text))
        if store and plugins.store(store).between_jobs:
            of_stores.setdefault(store, []).append(text)
        elif text.startswith(("https://", "http://")):
            _add(taken, text.rpartition("/")[2] or "input", text)
        else:
            raise UsageError(f"{text} is neither a DID nor a URL, which a kernel could have as a file")
    made = replace(made, staged=tuple(taken.values()))
    for store, names in of_stores.items():
        made = _with_files_of(store, names, made, taken)
    return made


def _with_files_of(store: str, names: Sequence[str], made: Job, taken: dict[str, StagedFile]) -> Job:
    plugin = plugins.store(store)
    plugins.require(plugin)
    own = plugins.configured(plugin, plugins.configuration())
    with closing(plugins.loaded(plugin).open_run_store(own, None)) as opened:
        prefixes = tuple(f"{scheme}:" for scheme in plugin.schemes)
        locations = [name if name.lower().startswith(prefixes) else f"{store}:{name}" for name in names]
        found = opened.files.find(locations)
        for location in locations:
            for file in files_in(found[location]):
                _add(taken, str(file.get("path") or file["basename"]), str(file["location"]))
        (made,) = asyncio.run(opened.locate([replace(made, staged=tuple(taken.values()))]))
    for entry in made.staged:
        if not entry.sources or entry.sources[0].startswith(prefixes):
            raise StoreError(f"{plugin.title or store} knows no replica of {entry.location or entry.target} to read")
    return made


def _add(taken: dict[str, StagedFile], name: str, location: str) -> None:
    target = free_path(f"{DIRECTORIES.out}/{name}", taken)
    taken[target] = StagedFile(target, "file", (location,))


def _sites(request: KernelRequest, settings: Any, module: Any) -> dict[str, Any]:
    """Container settings of the places where the node may run."""
    if request.backend != "local":
        found: dict[str, Any] = module.node_sites(settings)
        return found
    engine = request.engine or plugins.configuration().engine
    return (
        {"*": {"engines": [engine]}} if engine else {"*": {"engines": ["docker", "podman", "apptainer", "singularity"]}}
    )


def _acted(words: Sequence[str]) -> dict[str, Any]:
    action, folder, *others = words
    record = load(Path(folder))
    if action == "inputs":
        return {"job": to_plain(job(record, others))}
    plugin = plugins.backend(record.request.backend)
    plugins.require(plugin)
    settings, module = plugins.configured(plugin, plugins.configuration()), plugins.loaded(plugin)
    with module.open_nodes(settings) as host:
        if action == "start":
            return {"node": start(record, int(others[0]), host, _sites(record.request, settings, module))}
        if action == "ended":
            return {"ended": host.ended(others[0])}
        host.end(others[0])
        until = time.monotonic() + _END_S
        while record.request.backend == "local" and host.ended(others[0]) is None and time.monotonic() < until:
            time.sleep(0.05)
        return {}


def main() -> int:
    """Do what the command line says."""
    try:
        answer = _acted(sys.argv[1:])
    except GridCWLError as error:
        answer = {"error": str(error)}
    except Exception as error:  # noqa: BLE001  the last resort: the relay waits for an answer
        answer = {"error": f"internal error: {type(error).__name__}: {error}"}
    print(json.dumps(answer), flush=True)
    return 0


if __name__ == "__main__":
    code = main()
    os._exit(code)  # clients of batch systems leave threads
