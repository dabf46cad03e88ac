"""cwltool's contexts as gridcwl needs them: fixed directories, no temporary folders, no lock, our own path mapper."""

from __future__ import annotations

from collections.abc import MutableSequence
from dataclasses import dataclass
from functools import partial
from typing import Any

from cwltool.context import RuntimeContext
from cwltool.mpi import MpiConfig
from cwltool.pathmapper import MapperEnt, PathMapper
from cwltool.secrets import SecretStore
from schema_salad.ref_resolver import uri_file_path

from gridcwl.cwl.access import InputFs
from gridcwl.cwl.problems import problems
from gridcwl.cwl.remote import Remote
from gridcwl.cwl.resources import selected
from gridcwl.cwl.software import Software, image_for
from gridcwl.errors import ConfigError
from gridcwl.model import JobDirectories, Resources, paths


@dataclass(frozen=True, slots=True)
class EvaluationOptions:
    """How documents are loaded and expressions evaluated; cwltool's options of the same names."""

    containers: bool = True
    singularity: bool = False
    default_container: str | None = None
    eval_timeout_s: float = 60.0
    js_console: bool = False
    javascript: bool = True
    """False refuses documents that need InlineJavascriptRequirement."""
    software: tuple[Software, ...] = ()
    """Where packages of SoftwareRequirement are."""
    trusted_storage: tuple[str, ...] = ()
    """URLs below which jobs may send credentials, in addition to those that the store names."""
    debug: bool = False
    strict: bool = True
    validate: bool = True
    cap_resources: bool = False
    """A tool that asks for more than the place has gets what there is."""
    js_validation: bool = True
    """Parse the document's expressions when it is loaded."""
    js_hints: str | None = None
    """A file of options for jshint, whose advice is shown then, too."""
    registries: tuple[str, ...] | None = None
    """GA4GH tool registries where documents that are no files are looked for; None is cwltool's own choice."""
    document_cache: bool = True
    """Documents that come by HTTP are kept on disk."""
    only_check: bool = False
    """The document is validated, not run: what its caller may declare is a warning."""
    skip_schemas: bool = False
    enable_dev: bool = False
    preserve_environment: tuple[str, ...] = ()
    preserve_entire_environment: bool = False
    mpi_config_file: str | None = None


def _path_here(location: str) -> str:
    if location[7:8] != "/":  # a file of another machine; or of localhost
        return paths.file_path(location, "The location of an input")
    return str(uri_file_path(location))


class StagePathMapper(PathMapper):  # type: ignore[misc]
    """Says where the tool will see each input, without looking at the file system.

    cwltool's own mapper follows symbolic links and downloads; here the location stays the location, for the bytes may
    be on another continent. Stage folders are numbered, not random, so that the same inputs give the same job.
    """

    outdir = JobDirectories().out
    """The output directory as the tool sees it, in every job."""

    def __init__(
        self,
        referenced_files: MutableSequence[Any],
        basedir: str,
        stagedir: str,
        separateDirs: bool = True,  # noqa: N803  cwltool's name
        remote: Remote | None = None,
    ) -> None:
        self._remote = remote
        super().__init__(referenced_files, basedir, stagedir, separateDirs)

    def setup(self, referenced_files: MutableSequence[Any], basedir: str) -> None:
        """Give each file a folder of its own where ``separateDirs`` asks for it."""
        for number, entry in enumerate(referenced_files):
            folder = f"{self.stagedir}/{number}" if self.separateDirs else self.stagedir
            self.visit(entry, folder, basedir, copy=bool(entry.get("writable")), staged=True)

    def visit(self, obj: Any, stagedir: str, basedir: str, copy: bool = False, staged: bool = False) -> None:
        """Map one File or Directory and what belongs to it. As cwltool's ``PathMapper.visit`` does."""
        location: str = obj["location"]
        if location in self._pathmap:
            return
        # A plain path where there is one: cwltool's revmap_file takes it for what an output is passed through from.
        resolved = _path_here(location) if location.startswith("file://") else self._real(location)
        folder = str(obj.get("dirname") or stagedir).rstrip(
            "/"
        )  # cwltool gives literals "/out/": one name for one place
        target = f"{folder}/{obj['basename']}"
        if obj["class"] == "Directory":
            self._pathmap[location] = MapperEnt(resolved, target, "WritableDirectory" if copy else "Directory", staged)
            if (elsewhere := self._elsewhere(location)) is not None:
                self.visitlisting(elsewhere, target, basedir, copy=copy, staged=staged)
                return
            # The children of a real directory come with it; those of a literal one are staged one by one.
            children_staged = staged and location.startswith("_:")
            self.visitlisting(obj.get("listing", []), target, basedir, copy=copy, staged=children_staged)
            return
        if "contents" in obj and location.startswith("_:"):
            kind = "CreateWritableFile" if copy else "CreateFile"
            self._pathmap[location] = MapperEnt(obj["contents"], target, kind, staged)
        else:
            self._pathmap[location] = MapperEnt(resolved, target, "WritableFile" if copy else "File", staged)
        self.visitlisting(obj.get("secondaryFiles", []), folder, basedir, copy=copy, staged=staged)

    def mapper(self, src: str) -> MapperEnt:
        """Where this location is staged. A ``#`` in it is part of its name: cwltool cuts it off as a fragment."""
        found = self._pathmap.get(src)
        return found if found is not None else super().mapper(src)

    def reversemap(self, target: str) -> tuple[str, str] | None:
        """The input at a path. cwltool returns the contents of a literal as its location; here it keeps its own.

        A literal that InitialWorkDirRequirement puts into the output directory is a file like any other there: the
        worker wrote it, and lists it with its location and checksum.
        """
        found: tuple[str, str] | None = super().reversemap(target)
        if found is None or not found[0].startswith("_:"):
            return found
        return None if target.startswith(f"{self.outdir}/") else (found[0], found[0])

    def _real(self, location: str) -> str:
        return location if self._remote is None else self._remote.real(location)

    def _elsewhere(self, location: str) -> list[Any] | None:
        """What is in a directory that is not on this machine: its files are staged one by one."""
        return None if self._remote is None else self._remote.listing(location)


class JobContext(RuntimeContext):  # type: ignore[misc]
    """A RuntimeContext whose directories are names, not folders on this machine."""

    path_mapper: Any
    make_fs_access: Any
    remote: Remote | None = None
    """What is known of files elsewhere; see :meth:`reach`."""
    largest: Resources | None = None
    """The most that one job can get where the run's jobs go."""
    cap_resources: bool = False
    capped: set[str]
    """The tools that were already reported to get less than they ask for."""
    software: tuple[Software, ...] = ()
    trusted_storage: tuple[str, ...] = ()

    def reach(self, remote: Remote) -> None:
        """From now on inputs may be elsewhere."""
        self.remote = remote
        self.path_mapper = partial(StagePathMapper, remote=remote)
        self.make_fs_access = partial(InputFs, remote=remote)

    def create_tmpdir(self) -> str:
        """cwltool makes a folder for each container job here (command_line_tool.py, ``job``); none is needed."""
        return str(self.stagedir)

    create_outdir = create_tmpdir


def job_context(options: EvaluationOptions, secrets: SecretStore) -> JobContext:
    """The context in which every tool of a run is resolved.

    Raises:
        ConfigError: the MPI configuration cannot be read.
    """
    directories = JobDirectories()
    context = JobContext()
    context.select_resources = selected
    context.cap_resources = options.cap_resources
    context.capped = set()
    context.use_container = options.containers
    context.singularity = options.singularity
    context.default_container = options.default_container
    context.outdir = context.docker_outdir = directories.out
    context.tmpdir = directories.tmp
    context.docker_tmpdir = "/tmp"  # noqa: S108  where programs look for it; the rest of an image is read-only
    context.software = options.software
    if options.default_container or options.software:
        context.find_default_container = lambda tool: image_for(tool, options.software) or options.default_container
    context.stagedir = context.docker_stagedir = directories.inputs
    context.path_mapper = StagePathMapper
    context.make_fs_access = InputFs
    context.eval_timeout = options.eval_timeout_s
    context.js_console = options.js_console
    context.trusted_storage = options.trusted_storage
    context.debug = options.debug
    context.secret_store = secrets
    context.preserve_environment = list(options.preserve_environment)
    context.preserve_entire_environment = options.preserve_entire_environment
    if options.mpi_config_file:
        with problems(ConfigError, f"The MPI configuration {options.mpi_config_file} cannot be used"):
            context.mpi_config = MpiConfig.load(options.mpi_config_file)
    context.compute_checksum = False  # taken by the worker, where the bytes are
    return context
