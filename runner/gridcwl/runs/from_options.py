"""From a run's options to what they mean: the document, how it is evaluated, the backend and the store."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import AbstractAsyncContextManager, closing, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from gridcwl import plugins
from gridcwl.backends.base import JobOptions
from gridcwl.errors import ConfigError
from gridcwl.plugins import BackendChoice
from gridcwl.runs.options import Options
from gridcwl.stores.base import StoreContext

if TYPE_CHECKING:
    from gridcwl.cwl.context import EvaluationOptions
    from gridcwl.cwl.selection import Selection
    from gridcwl.cwl.session import CwlSession
    from gridcwl.model import RunId
    from gridcwl.stores.base import RunStore, Store


def open_run_store(options: Options, known: Mapping[str, Any] | None, folder: Path) -> RunStore:
    """The chosen store. Nothing is queried yet.

    Args:
        options: the user's.
        known: what an earlier session of the run found.
        folder: where relative paths in the store's settings count from.

    Raises:
        ConfigError: the options do not fit each other.
    """
    chosen = options.store
    plugin = plugins.store(chosen.store)
    if plugin.between_jobs:
        store: RunStore = plugins.loaded(plugin).open_run_store(chosen.settings, known)
        return store
    if options.grid.is_elsewhere:
        raise ConfigError(
            f"The store {plugin.name} cannot carry files to jobs on other machines", remedy="Choose --store local."
        )
    plugins.require(plugin)
    from gridcwl.stores.plain import PlainRunStore

    def opening(run: RunId) -> AbstractAsyncContextManager[Store]:
        return plugins.open_store(plugin.name, chosen.settings, StoreContext(run, folder))

    return PlainRunStore(plugin.name, plugin.schemes, opening, known)


def backend_of(options: Options) -> BackendChoice:
    """The backend that the options choose, with what it needs of them."""
    jobs = JobOptions(
        engine=options.engine,
        max_jobs=options.max_jobs,
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
        confinement=options.confinement,
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
def run_store(
    options: Options, session: CwlSession, known: Any = None, *, folder: Path | None = None
) -> Iterator[RunStore]:
    """The store, in which the session's files may be; see :func:`open_run_store`."""
    with closing(open_run_store(options, known, folder or Path.cwd())) as store:
        if store.files is not None:
            session.reach(store.files)
        yield store
