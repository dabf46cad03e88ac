"""Opens the local backend."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from gridcwl.backends.base import BackendContext, QueueOffer, SiteOffer
from gridcwl.backends.nodes import NodeHost
from gridcwl.errors import ResourcesExceeded
from gridcwl.model import Image, Job, Resources, RunId

if TYPE_CHECKING:
    from gridcwl.backends.local.backend import LocalBackend
    from gridcwl.backends.local.machine import Ledger
    from gridcwl.backends.local.plugin import LocalSettings
    from gridcwl.backends.views import MachinePlanner, Presence


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


def machine_planner(_settings: LocalSettings) -> MachinePlanner:
    """What this machine has for the jobs of a plan."""
    from gridcwl.backends.local.machine import this_machine

    return LocalPlanner(this_machine())


class LocalPlanner:
    """Implements ``gridcwl.backends.views.MachinePlanner``."""

    def __init__(self, machine: Ledger) -> None:
        self._machine = machine

    @property
    def largest(self) -> Resources:
        """See ``MachinePlanner.largest``."""
        return self._machine.largest

    def problem(self, jobs: Sequence[Job]) -> str:
        """See ``MachinePlanner.problem``."""
        try:
            for job in jobs:
                self._machine.refuse_giants(job)
        except ResourcesExceeded as error:
            return error.message
        return ""

    def at_a_time(self, job: Job, most: int) -> int:
        """See ``MachinePlanner.at_a_time``."""
        return self._machine.at_a_time(job, most)

    def images(self, engine: str, images: Sequence[Image]) -> Mapping[str, Presence]:
        """See ``MachinePlanner.images``."""
        from gridcwl.backends.local import presence

        return presence.presences(engine, images)
