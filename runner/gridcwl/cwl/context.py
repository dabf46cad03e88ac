"""cwltool's contexts as gridcwl needs them: fixed directories, no temporary folders, no lock, our own path mapper."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from typing import Any

from cwltool.context import RuntimeContext
from cwltool.mpi import MpiConfig
from cwltool.secrets import SecretStore

from gridcwl.cwl.access import InputFs
from gridcwl.cwl.patches.path_mapper import StagePathMapper
from gridcwl.cwl.problems import problems
from gridcwl.cwl.remote import Remote
from gridcwl.cwl.resources import selected
from gridcwl.cwl.software import Software, image_for
from gridcwl.errors import ConfigError
from gridcwl.model import JobDirectories, Resources
from gridcwl.model.confinement import Confinement


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
    confinement: Confinement | None = None
    """What an untrusted document may read; None: what its user may."""


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

    def copy(self) -> JobContext:
        """As cwltool's, which every job needs: the same attributes, without asking how a class wants to be copied."""
        made = JobContext.__new__(JobContext)
        made.__dict__.update(self.__dict__)
        return made

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
