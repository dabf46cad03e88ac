"""Opens the local backend."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from gridcwl.backends.base import BackendContext, QueueOffer, SiteOffer
from gridcwl.backends.nodes import NodeHost
from gridcwl.model import RunId

if TYPE_CHECKING:
    from gridcwl.backends.local.backend import LocalBackend
    from gridcwl.backends.local.plugin import LocalSettings


def start_ahead(containers: bool) -> None:
    """Start a worker process while the document is read, if jobs run without containers."""
    if not containers:
        from gridcwl.backends.local.process import start_ahead as start

        start()


def stop_processes(folder: Path) -> int:
    """Stop what a killed client left running below a folder; see ``orphans``."""
    from gridcwl.backends.local import orphans

    return orphans.stop_processes(folder)


def stop_containers(engine: str, run: RunId) -> int:
    """Remove the containers that a killed client left; see ``orphans``."""
    from gridcwl.backends.local import orphans

    return orphans.stop_containers(engine, run)


def open_backend(settings: LocalSettings, context: BackendContext) -> LocalBackend:
    """The local backend for one session of a run."""
    from gridcwl.backends.local.backend import LocalBackend

    return LocalBackend(context.folder, context.jobs, settings, secrets=context.secrets)


@contextmanager
def open_nodes(_settings: LocalSettings) -> Iterator[NodeHost]:
    """Nodes as processes of this machine."""
    from gridcwl.backends.local.nodes import LocalNodes

    yield LocalNodes()


def offers(_settings: LocalSettings) -> list[SiteOffer]:
    """What this machine has for jobs."""
    from gridcwl.backends.local.machine import this_machine

    machine = this_machine()
    queue = QueueOffer(cores=machine.cores, ram_mib=machine.ram_mib, gpus=machine.gpus)
    return [SiteOffer("this machine", (queue,), hints_give_way=True)]
