"""Run by a Python that has rucio-jupyterlab: what its server and its kernel do when a user attaches DIDs.

Reads JSON from stdin: ``instance`` and ``auth`` as the extension's configuration has them, ``scope``, ``dataset``,
``file`` and ``outputs``, an output object. Prints JSON: what a search finds, what the browser lists, the bytes
that a notebook reads, and what gridcwl makes of attached DIDs and of outputs.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

from ipykernel.inprocess.manager import InProcessKernelManager
from rucio_jupyterlab.handlers.did_browser import DIDBrowserHandlerImpl
from rucio_jupyterlab.handlers.did_search import DIDSearchHandlerImpl
from rucio_jupyterlab.kernels.ipython import RucioDIDAttachmentConnector
from rucio_jupyterlab.mode_handlers.replica import ReplicaModeHandler
from rucio_jupyterlab.rucio.rucio import RucioAPI

from gridcwl.jupyter import attaching
from gridcwl.jupyter.attaching import attachments
from gridcwl.values import outputs_from, to_cwl

READ = "read = [open(path).read() for path in data]; single = open(one).read()"


def attached(given: dict[str, Any]) -> dict[str, Any]:
    """What the extension makes of the DIDs."""
    api = RucioAPI(given["instance"], "userpass", given["auth"])
    scope, dataset, file = given["scope"], given["dataset"], given["file"]
    replicas = ReplicaModeHandler("testbed", api)
    of_dataset = replicas.get_did_details(scope, dataset, force_fetch=True)
    of_file = replicas.get_did_details(scope, file, force_fetch=True)
    kernels = InProcessKernelManager()
    kernels.start_kernel()
    shell = kernels.kernel.shell
    connector = RucioDIDAttachmentConnector(shell)
    connector.register_comm()
    connector.register_outgoing_comm()
    connector.inject_dids(
        [
            {"type": "collection", "variableName": "data", "files": of_dataset},
            {"type": "file", "variableName": "one", "files": of_file},
        ]
    )
    shell.run_cell(READ).raise_error()
    outputs = outputs_from(given["outputs"])
    notes = attachments(outputs)
    for note in notes:  # as the extension resolves the attachments of a notebook when it is opened
        owner, name = note["did"].split(":", 1)
        found = replicas.get_did_details(owner, name, force_fetch=True)
        connector.inject_dids([{"type": note["type"], "variableName": note["variableName"], "files": found}])
    published = attaching.attached(outputs["result"])
    return {
        "inputs": to_cwl({"many": shell.user_ns["data"], "one": shell.user_ns["one"]}, Path.cwd()),
        "notes": notes,
        "attached": [Path(str(shell.user_ns[note["variableName"]])).read_text() for note in notes],
        "published": type(published).__name__,
        "given again": to_cwl({"many": published}, Path.cwd()),
        "search": DIDSearchHandlerImpl("testbed", api).search_did(scope, dataset, "all", None, 10),
        "files": DIDBrowserHandlerImpl("testbed", api).get_files(scope, dataset, force_fetch=True),
        "states": [one["status"] for one in of_dataset],
        "read": shell.user_ns["read"],
        "single": shell.user_ns["single"],
    }


if __name__ == "__main__":
    answer = attached(json.load(sys.stdin))
    print("\n" + json.dumps(answer))
