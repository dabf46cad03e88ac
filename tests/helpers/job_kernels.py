"""Kernels as jobs in tests: a Jupyter of their own, in a folder of the test's."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from jupyter_client.manager import KernelManager
from waiting import until

from gridcwl.cli.main import main
from gridcwl.jupyter.kernels import model

PATIENCE_S = 120


@contextlib.contextmanager
def own_jupyter(folder: Path) -> Iterator[pytest.MonkeyPatch]:
    """Kernelspecs, connection files and gridcwl's state are in this folder meanwhile; active kernels end with it."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("GRIDCWL_STATE_DIR", str(folder / "state"))
        for name in ("DATA", "RUNTIME", "CONFIG"):
            patch.setenv(f"JUPYTER_{name}_DIR", str(folder / name.lower()))
        patch.setenv("IPYTHONDIR", str(folder / "ipython"))
        yield patch
        until(lambda: not list(model.active()))


def added(name: str, *words: str) -> str:
    """Add a kernel of this machine, unless the words say otherwise."""
    backend = () if "--backend" in words else ("--backend", "local")
    assert main(["kernel", "add", name, *backend, *words]) == 0
    return name


@contextlib.contextmanager
def started(name: str, notebook: str = "") -> Iterator[tuple[KernelManager, Any]]:
    """A kernel and a client of it."""
    manager = KernelManager(kernel_name=name)
    env = {**os.environ, **({"JPY_SESSION_NAME": notebook} if notebook else {})}
    manager.start_kernel(env=env)
    try:
        with connected(manager) as client:
            yield manager, client
    finally:
        manager.shutdown_kernel(now=True)


@contextlib.contextmanager
def connected(manager: KernelManager) -> Iterator[Any]:
    """A client of a kernel."""
    client = manager.client()
    client.start_channels()
    try:
        client.wait_for_ready(timeout=PATIENCE_S)
        yield client
    finally:
        client.stop_channels()


def printed(client: Any, code: str, **options: Any) -> str:
    """What a cell prints, its result and its error."""
    found: list[str] = []

    def show(message: Any) -> None:
        content = message["content"]
        if message["msg_type"] == "stream":
            found.append(content["text"])
        elif message["msg_type"] == "execute_result":
            found.append(content["data"]["text/plain"])
        elif message["msg_type"] == "error":
            found.append(content["ename"])

    client.execute_interactive(code, output_hook=show, timeout=PATIENCE_S, **options)
    return "".join(found)


def until_said(client: Any, text: str) -> None:
    """Wait until a cell has printed this."""
    seen = ""
    while text not in seen:
        message = client.get_iopub_msg(timeout=PATIENCE_S)
        if message["msg_type"] == "stream":
            seen += message["content"]["text"]


__all__ = ["added", "connected", "own_jupyter", "printed", "started", "until_said"]
