"""Files of this machine as the store of a run: they stay where jobs leave them, and nothing has to be queried."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from gridcwl.model import Job, JobResult, RunId
from gridcwl.stores.base import JobKeys, RemoteFiles, ResultCache


class LocalRunStore:
    """Implements ``gridcwl.stores.base.RunStore``."""

    download = True
    files: RemoteFiles | None = None

    async def locate(self, jobs: Sequence[Job]) -> Sequence[Job]:
        """See ``RunStore.locate``: they are where the jobs say."""
        return jobs

    async def begin(self, run: RunId, document: str, keys: JobKeys) -> LocalSession:  # noqa: ARG002
        """See ``RunStore.begin``."""
        return LocalSession()

    def close(self) -> None:
        """See ``RunStore.close``: nothing is open."""


class LocalSession:
    """Implements ``gridcwl.stores.base.StoreSession``; stores that do not carry files between jobs derive from it."""

    title = "this machine"
    about: Mapping[str, Any] = {}
    cache: ResultCache | None = None
    between_jobs = False

    async def check(self, steps: Iterable[str]) -> None:
        """See ``StoreSession.check``: every name is accepted."""

    async def stage(self, jobs: Sequence[Job], *, upload: bool) -> Sequence[Job]:  # noqa: ARG002
        """See ``StoreSession.stage``: what workers do not see, their backend sends along."""
        return jobs

    def equipped(self, job: Job) -> Job:
        """See ``StoreSession.equipped``."""
        return job

    def lacking(self, job: Job) -> list[str]:  # noqa: ARG002
        """See ``StoreSession.lacking``: the worker sees whether a file is there."""
        return []

    async def register(self, made: Sequence[tuple[Job, JobResult]]) -> Mapping[str, str]:  # noqa: ARG002
        """See ``StoreSession.register``: jobs write nothing to the store."""
        return {}

    def batch_of(self, result: JobResult) -> str:  # noqa: ARG002
        """See ``StoreSession.batch_of``."""
        return ""

    def first_made(self, job: Job, result: JobResult) -> Job:  # noqa: ARG002
        """See ``StoreSession.first_made``."""
        return job

    def note(self, job: Job, result: JobResult) -> None:
        """See ``StoreSession.note``."""

    async def missing(self, results: Iterable[JobResult]) -> set[str]:  # noqa: ARG002
        """See ``StoreSession.missing``: files of this machine are looked at when their result is reused."""
        return set()

    async def archives(self, names: Sequence[str]) -> dict[str, Any]:  # noqa: ARG002
        """See ``StoreSession.archives``: the store has none."""
        return {}

    async def keep_alive(self) -> None:
        """See ``StoreSession.keep_alive``: nothing is deleted."""

    async def publish(self, outputs: Any, keys_of: Callable[[str], Iterable[bytes]], *, final: bool) -> Any:  # noqa: ARG002
        """See ``StoreSession.publish``: they go to the output directory only."""
        return outputs

    async def fetch(self, files: Mapping[str, Mapping[str, Any]], folder: Path) -> Mapping[str, str]:  # noqa: ARG002
        """See ``StoreSession.fetch``: they are here."""
        return {}
