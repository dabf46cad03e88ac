"""From a run's options to what they mean: the document, how it is evaluated, the backend and the store."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from dataclasses import fields, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from gridcwl import imports
from gridcwl.errors import ConfigError
from gridcwl.runs.options import GridOptions, Options, StoreOptions

if TYPE_CHECKING:
    from gridcwl.cwl.context import EvaluationOptions
    from gridcwl.cwl.selection import Selection
    from gridcwl.cwl.session import CwlSession
    from gridcwl.model import Placement
    from gridcwl.runs.carriage import RucioPlace
    from gridcwl.runs.places import BackendChoice, DiracChoice


def dirac_choice(
    options: GridOptions,
    *,
    max_jobs: int | None = None,
    site: str = "",
    capabilities: Sequence[str] = (),
    processes: int | None = None,
) -> DiracChoice:
    """What the options mean for the backend.

    Args:
        options: with a backend that is not ``local``.
        max_jobs: at a time, in DIRAC's local mode.
        site: where this machine is, for the same.
        capabilities: Linux capabilities that containers keep.
        processes: the most processes in a container; None is the worker's default.
    """
    from gridcwl.backends.dirac.matching import Wishes
    from gridcwl.model import Placement
    from gridcwl.runs.places import DiracChoice

    everywhere = Placement(
        options.sites, options.banned, options.tags, options.platform, options.priority, options.job_type
    )
    return DiracChoice(
        server=options.server or "dirac",
        max_jobs=max_jobs,
        site=site,
        wishes=Wishes(
            placement=everywhere,
            steps={step: placement_of(step, about) for step, about in options.placement.items()},
            cpu_time_s=options.cpu_time,
            locality=options.locality,
            local_bytes=options.local_mib << 20,
            local_wait_s=float(options.local_wait),
        ),
        pack=options.pack,
        sites=_worker_settings(options, capabilities, processes),
        poll_top_s=float(options.longest_pause),
        stalled_s=float(options.stalled_after),
        window=options.window,
        leave=options.detach,
    )


def _worker_settings(options: GridOptions, capabilities: Sequence[str], processes: int | None) -> dict[str, Any]:
    """What workers of each site have to know of containers; ``*`` is every site."""
    settings: dict[str, dict[str, Any]] = {}
    for key, table in (("engines", options.engines), ("images", options.images)):
        for site, words in table.items():
            settings.setdefault(site, {})[key] = list(words)
    if capabilities:
        settings.setdefault("*", {})["cap_add"] = list(capabilities)
    if processes is not None:
        settings.setdefault("*", {})["pids_limit"] = processes
    return settings


def placement_of(step: str, about: Mapping[str, Any]) -> Placement:
    """A step's table in a placement file, or in the options.

    Raises:
        ConfigError: it has a field that is not one of ``gridcwl:Placement``.
    """
    from gridcwl.model import Placement

    known = {"jobType": "job_type"} | {entry.name: entry.name for entry in fields(Placement)}
    strangers = about.keys() - known.keys()
    if strangers:
        raise ConfigError(
            f"The placement of {step} has no field {sorted(strangers)[0]!r}",
            remedy="It has: sites, banned, tags, platform, priority, jobType.",
        )
    made = Placement()
    for name, value in about.items():
        listed = name in ("sites", "banned", "tags")
        if listed and not isinstance(value, list | tuple):
            raise ConfigError(f"{name} of the placement of {step} is {value!r}, but must be a list of names")
        change: dict[str, Any] = {known[name]: tuple(value) if listed else value}
        made = replace(made, **change)
    return made


def open_place(options: StoreOptions, known: Mapping[str, Any] | None = None) -> RucioPlace | None:
    """Rucio, if it is what was chosen. Nothing is asked yet.

    Args:
        options: the user's.
        known: what an earlier session of the run found.

    Raises:
        ConfigError: the options do not fit each other.
    """
    if options.store != "rucio":
        return None
    imports.require("rucio", "--store rucio")
    from gridcwl.runs.carriage import RucioPlace
    from gridcwl.stores.rucio.asking import Asking
    from gridcwl.stores.rucio.client import RucioClient
    from gridcwl.stores.rucio.names import check_template, chosen_dataset

    settings = options.rucio
    check_template(settings.name)
    if settings.output_dataset:
        chosen_dataset(settings.output_dataset)
    client = RucioClient()
    return RucioPlace(client, settings, Asking(client, settings.scope, known))


def backend_of(options: Options) -> BackendChoice:
    """The backend that the options choose."""
    from gridcwl.runs.places import LocalChoice

    if options.grid.server is not None:
        return dirac_choice(
            options.grid,
            max_jobs=options.max_jobs,
            site=options.store.rucio.site,
            capabilities=options.capabilities,
            processes=options.processes,
        )
    return LocalChoice(
        engine=options.engine,
        reuse_containers=options.reuse_containers,
        max_jobs=options.max_jobs,
        limit_memory=options.strict_memory_limit,
        limit_cores=options.strict_cpu_limit,
        capabilities=options.capabilities,
        processes=options.processes,
        containers=options.cwltool.containers,
        leave_tmpdir=options.leave_tmpdir or options.outputs != "move",
    )


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
