"""What a store is: it names bytes, moves them, and states how a worker gets at them.

Every store implements :class:`Store`, which knows neither CWL nor jobs. A store that carries files between the jobs of
runs implements :class:`RunStore` as well; its plugin module's ``open_run_store(settings, known)`` gives it.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from gridcwl.model import Job, JobResult, RunId
from gridcwl.model.files import HERE, FileInfo, FileRef, NewFile, Site, StagePlan
from gridcwl.settings import NoSettings


@dataclass(frozen=True, slots=True)
class StorePlugin:
    """A store, as an entry point of the group ``gridcwl.stores`` declares it."""

    name: str
    summary: str
    """For ``--help``: what follows "NAME: "."""
    module: str
    """Imported when the store is opened; its ``open_store(settings, context)`` returns an asynchronous context manager
    that gives a :class:`Store`."""
    settings: type = NoSettings
    """A frozen ``msgspec.Struct``; see ``gridcwl.settings``. Every field has a default."""
    table: str = ""
    """The table of the configuration file that holds the settings."""
    packages: tuple[str, ...] = ()
    """Packages that have to be installed, as they are imported."""
    install: str = ""
    """What to do if they are not; empty: gridcwl's extra that brings them."""
    reads: frozenset[str] = frozenset()
    """Which options of the command line it reads, in addition to its settings."""
    hooks: frozenset[str] = frozenset()
    """Optional functions of the module."""
    schemes: frozenset[str] = frozenset()
    """Of the URLs of its files, which input objects may name: ``s3`` for ``s3://bucket/key``."""
    title: str = ""
    """For messages: "Rucio"; empty: its name."""
    prefixes: tuple[str, ...] = ()
    """What else locations of its files may begin with, in any case: ``rucio:`` in ``rucio:scope:name``."""
    short_names: str = ""
    """A regular expression of names without a scheme that may be the store's, if no file has such a name. The location
    of one is the store's name, a colon and the name: ``rucio:scope:name``."""
    example: str = ""
    """How one of its files is named, for messages: "rucio://SCOPE/NAME or SCOPE:NAME"."""
    keeps: Callable[[Any], str] = lambda _settings: ""
    """Where these settings let a run keep final outputs, for plans: "Rucio, user.ada"; empty: in the output directory
    only."""
    downloads: Callable[[Any], bool] = lambda _settings: True
    """Whether these settings bring final outputs to the output directory."""
    between_jobs: bool = False
    """Its module has ``open_run_store(settings, known)``: it gives a ``RunStore``. Any other store gives input files
    and keeps final outputs, for runs whose jobs are on this machine."""


@dataclass(frozen=True, slots=True)
class StoreContext:
    """The run that a store is opened for."""

    run: RunId
    """Empty while the inputs of a run are read, which has no id yet."""
    folder: Path
    """A folder of this machine, for a store that holds its files there: the run's current folder."""


class Store(Protocol):
    """Where bytes live. Everything that may ask a server takes a batch; answers are in the order of the questions."""

    async def describe(self, refs: Sequence[FileRef]) -> Sequence[FileInfo]:
        """Size, checksums and replicas of files.

        Raises:
            StoreError: one of them is not there; naming it.
        """

    async def fetch(self, refs: Sequence[FileRef], into: Path) -> Sequence[Path]:
        """Bring the bytes to this machine, into a folder that is made if it is not there.

        The files keep their names; where two have the same, the later one gets a number. What is given is for reading:
        it may be the store's own bytes.

        Raises:
            StoreError: one is not there or there is no room; then nothing is left in the folder.
        """

    async def publish(self, files: Sequence[NewFile], dataset: str) -> Sequence[FileRef]:
        """Keep files below the name ``dataset``. A file appears under its name whole or not at all.

        To publish the same bytes under the same name again does nothing and gives the same reference.

        Raises:
            OutputConflict: other bytes, or a folder, have one of the names; then none of the files is published.
            StoreError: there is no room or no permission, or a source is not there; likewise.
        """

    def access(self, refs: Sequence[FileRef], at: Site = HERE) -> StagePlan:
        """How a worker at that place gets these bytes. Asks nobody, for it is called for every job."""


class RemoteFiles(Protocol):
    """Files and datasets that a store knows by name. Called while a document is evaluated, so nothing is awaited."""

    known: dict[str, Any]
    """What was found so far. It is recorded with the run, so that a resumed run has the same inputs."""

    def understands(self, location: str) -> bool:
        """Whether a location is one of the store's."""

    def find(self, locations: Sequence[str]) -> Mapping[str, dict[str, Any]]:
        """What locations of an input object mean, each: a File, or a ``Collection`` of ``files`` and ``collections``.

        Raises:
            InputError: one of them does not exist.
        """

    def present(self, urls: Sequence[str]) -> Mapping[str, dict[str, Any]]:
        """Those of the files that exist, as File objects."""

    def first_bytes(self, url: str, count: int) -> bytes:
        """The beginning of a file.

        Raises:
            StoreError: it cannot be read.
        """


class RunStore(Protocol):
    """A store that carries files between the jobs of a run, from reading its inputs on. Opening it queries nothing."""

    @property
    def files(self) -> RemoteFiles | None:
        """The files that input objects may name, beside those of this machine; None if there are none."""

    @property
    def download(self) -> bool:
        """Final outputs go to the output directory as well."""

    async def locate(self, jobs: Sequence[Job]) -> Sequence[Job]:
        """The jobs with their place for outputs and the sources of their inputs, as far as ``files`` has found them.

        For plans: nothing is uploaded, and no job runs.

        Raises:
            StoreError: the store does not answer.
            ConfigError: the settings do not fit what is there.
        """

    async def begin(self, run: RunId, document: str, keys: JobKeys) -> StoreSession:
        """Begin a session of the run: its jobs are about to be submitted.

        Args:
            run: its id.
            document: the name of its document, without its suffix.
            keys: gives the keys of its jobs.

        Raises:
            StoreError: the store does not answer.
            ConfigError: the settings do not fit what is there.
        """

    def close(self) -> None:
        """Close the connections."""


JobKeys = Callable[[Collection[tuple[int, int]]], Mapping[tuple[int, int], str]]
"""Gives the keys of jobs, in hexadecimal digits, by session and number: of those that have one."""


class StoreSession(Protocol):
    """A store during one session of a run: it carries files between the jobs, and keeps the final outputs."""

    title: str
    """For messages: "Rucio"."""

    @property
    def between_jobs(self) -> bool:
        """Jobs write their outputs to the store, and read from it what others have written.

        If not, they stay on this machine; then nothing but ``stage``, ``equipped``, ``lacking``, ``publish`` and
        ``fetch`` has anything to do.
        """

    @property
    def about(self) -> Mapping[str, Any]:
        """Recorded in the run's journal; the plugin's ``report`` and ``release`` get it."""

    @property
    def cache(self) -> ResultCache | None:
        """Results that runs of other users share; None if they are not wanted, or there are none."""

    async def check(self, steps: Iterable[str]) -> None:
        """Check that the store will accept the files of these steps, before any job runs.

        Raises:
            StoreError: it will not.
            ConfigError: the settings do not allow it.
        """

    async def stage(self, jobs: Sequence[Job], *, upload: bool) -> Sequence[Job]:
        """The jobs with sources of their inputs and a place for their outputs, in as few queries as possible.

        Args:
            jobs: in order.
            upload: workers do not see the files of this machine: put those that are inputs into the store.

        Raises:
            StoreError: the store does not answer, or an input cannot be uploaded.
        """

    def equipped(self, job: Job) -> Job:
        """The same for one job, of which everything is known already. Queries nothing."""

    def lacking(self, job: Job) -> list[str]:
        """The inputs of a staged job that have no source."""

    async def register(self, made: Sequence[tuple[Job, JobResult]]) -> Mapping[str, str]:
        """Make the files known that jobs have written to the store. Doing it again changes nothing.

        Returns:
            Ids of the jobs whose files the store does not accept, and why.

        Raises:
            StoreError: the store does not answer, or refuses altogether.
        """

    def batch_of(self, result: JobResult) -> str:
        """A name for the files of a result, under which the journal records that they are registered; empty if none."""

    def first_made(self, job: Job, result: JobResult) -> Job:
        """The job under the id and attempt by which an earlier session knew it, as the names of its files say."""

    def note(self, job: Job, result: JobResult) -> None:
        """A result that is in the store already belongs to this run as well."""

    async def missing(self, results: Iterable[JobResult]) -> set[str]:
        """Locations of the results' files that are not in the store any more.

        Raises:
            StoreError: the store does not answer.
        """

    async def archives(self, names: Sequence[str]) -> dict[str, Any]:
        """Where container images are: from their names to what ``gridcwl.worker.site.Archives`` has to know.

        Raises:
            StoreError: the store does not answer.
        """

    async def keep_alive(self) -> None:
        """Until it is cancelled: keep the run's files from being deleted."""

    async def publish(self, outputs: Any, keys_of: Callable[[str], Iterable[bytes]], *, final: bool) -> Any:
        """Keep the outputs of the run. Doing it again changes nothing.

        Args:
            outputs: the output object, Directories in the store with their listings.
            keys_of: gives the keys of a step's jobs.
            final: the run has succeeded. What a run that failed has made is kept as intermediate files are.

        Returns:
            The output object with the locations that its files have in the store; the same one if nothing changes.

        Raises:
            StoreError: the store does not answer, or does not accept them.
        """

    async def fetch(self, files: Mapping[str, Mapping[str, Any]], folder: Path) -> Mapping[str, str]:
        """Copy files to this machine.

        Args:
            files: File objects by their locations in the store.
            folder: where they go.

        Returns:
            URLs of the copies by location.

        Raises:
            StoreError: one cannot be read.
        """


@dataclass(frozen=True, slots=True)
class Cached:
    """A result of another run, its files in place for this one."""

    run: str
    name: str
    result: JobResult


class ResultCache(Protocol):
    """Results of other runs, by the keys of their jobs."""

    def take(self, key: bytes, job: Job) -> Cached | None:
        """The result of another run with all its files; None if there is none. Called in threads."""

    def drop(self, key: bytes, job: Job) -> None:
        """A result that was taken cannot be used. Called in threads."""

    async def share(self, made: Sequence[tuple[bytes, Job, JobResult]]) -> None:
        """Share these with other runs. What cannot be shared is only logged."""
