"""From a run's options to what they mean: the document, how it is evaluated, the backend and the store."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import closing, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from gridcwl import plugins
from gridcwl.backends.base import JobOptions
from gridcwl.errors import ConfigError
from gridcwl.plugins import BackendChoice
from gridcwl.runs.options import Options, StoreOptions

if TYPE_CHECKING:
    from gridcwl.cwl.context import EvaluationOptions
    from gridcwl.cwl.selection import Selection
    from gridcwl.cwl.session import CwlSession
    from gridcwl.runs.carriage import RucioPlace


def open_place(options: StoreOptions, known: Mapping[str, Any] | None = None) -> RucioPlace | None:
    """Rucio, if it is what was chosen. Nothing is asked yet.

    Args:
        options: the user's.
        known: what an earlier session of the run found.

    Raises:
        ConfigError: the options do not fit each other.
    """
    plugin = plugins.store(options.store)
    if not plugin.between_jobs:
        raise ConfigError(
            f"The store {options.store} cannot carry files between the jobs of a run", remedy="Choose --store local."
        )
    if options.store != "rucio":
        return None
    plugins.require(plugin)
    from gridcwl.runs.carriage import RucioPlace
    from gridcwl.stores.rucio.asking import Asking
    from gridcwl.stores.rucio.client import RucioClient
    from gridcwl.stores.rucio.names import check_template, chosen_dataset

    settings = options.settings
    check_template(settings.name)
    if settings.output_dataset:
        chosen_dataset(settings.output_dataset)
    client = RucioClient()
    return RucioPlace(client, settings, Asking(client, settings.scope, known))


def backend_of(options: Options) -> BackendChoice:
    """The backend that the options choose, with what it needs of them."""
    jobs = JobOptions(
        engine=options.engine,
        reuse_containers=options.reuse_containers,
        max_jobs=options.max_jobs,
        limit_memory=options.strict_memory_limit,
        limit_cores=options.strict_cpu_limit,
        capabilities=options.capabilities,
        processes=options.processes,
        containers=options.cwltool.containers,
        keep_folders=options.leave_tmpdir or options.outputs != "move",
        detach=options.grid.detach,
        site=options.store.site,
    )
    return BackendChoice(options.grid.backend, options.grid.settings, jobs)


def evaluation(options: Options) -> EvaluationOptions:
    """How the document is loaded and its expressions are evaluated."""
    from gridcwl.cwl.context import EvaluationOptions
    from gridcwl.cwl.software import Software

    return EvaluationOptions(
        containers=options.containers,
        singularity=options.engine == "singularity",
        default_container=options.default_container,
        eval_timeout_s=options.eval_timeout_s,
        js_console=options.js_console,
        javascript=options.javascript,
        software=tuple(Software(*entry) for entry in options.software),
        trusted_storage=options.trusted_storage,
        debug=options.loudness == 2,
        strict=options.strict,
        validate=options.validate,
        js_validation=options.validate and options.cwltool.js_validation,
        js_hints=options.cwltool.js_hints,
        registries=options.cwltool.registries,
        document_cache=options.cwltool.document_cache,
        skip_schemas=options.skip_schemas,
        enable_dev=options.enable_dev,
        cap_resources=options.cap_resources,
        preserve_environment=options.preserve_environment,
        preserve_entire_environment=options.preserve_entire_environment,
        mpi_config_file=options.mpi_config_file,
    )


def selection(options: Options) -> Selection:
    """The part of the document that is to run."""
    from gridcwl.cwl.selection import Selection

    chosen = options.cwltool
    return Selection(chosen.targets, chosen.single_step, chosen.single_process)


def opened(
    options: Options, how: EvaluationOptions | None = None, *, folder: Path | None = None, text: str | None = None
) -> CwlSession:
    """The document with its input object.

    Args:
        options: of the run.
        how: how the document is loaded, if not as for a run.
        folder: where relative paths count from; None for the current folder.
        text: the input object, if ``-`` or an empty word stands for it; None reads standard input.

    Raises:
        GridCWLError: one of them cannot be read or is not valid.
    """
    from gridcwl.cwl.session import open_document

    session = open_document(
        options.document,
        options.words,
        how or evaluation(options),
        basedir=options.basedir,
        overrides=options.overrides,
        selection=selection(options),
        folder=folder,
        text=text,
    )
    if options.settings:
        from gridcwl.cwl.settings import with_settings

        session.graph = with_settings(session.graph, options.settings)
    return session


@contextmanager
def rucio(options: Options, session: CwlSession, known: Any = None) -> Iterator[RucioPlace | None]:
    """Rucio, if files live there: then the session's may be there, too. ``known`` is what an earlier session found."""
    place = open_place(options.store, known)
    if place is None:
        yield None
        return
    with closing(place):
        session.reach(place.asking)
        yield place
