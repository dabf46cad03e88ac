"""What the user requested for one run: plain values, which the journal keeps so that the run can be resumed."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass, field, fields, replace
from pathlib import Path
from typing import Any, Literal, TypeAlias

import msgspec

from gridcwl import plugins
from gridcwl.backends.base import BackendPlugin
from gridcwl.config import Config
from gridcwl.errors import ConfigError
from gridcwl.model.confinement import Confinement
from gridcwl.model.grouping import Grouping
from gridcwl.worker.engine import ContainerSettings

GRID_RETRIES = 2
"""At remote backends a place that fails is nothing unusual: the job is tried elsewhere."""
Engine: TypeAlias = Literal["docker", "podman", "singularity", "udocker"]
Show: TypeAlias = Literal[
    "validate",
    "pack",
    "dot",
    "template",
    "plan",
    "help",
    "targets",
    "subgraph",
    "deps",
    "input-deps",
    "pre",
    "rdf",
    "versions",
]


@dataclass(frozen=True, slots=True)
class GridOptions:
    """Where jobs run, and how they are treated there."""

    backend: str = "local"
    settings: Any = None
    """Of the backend's settings class."""
    detach: bool = False

    def __post_init__(self) -> None:
        if self.settings is None:
            object.__setattr__(self, "settings", plugins.backend(self.backend).settings())

    @property
    def plugin(self) -> BackendPlugin:
        """The backend's plugin."""
        return plugins.backend(self.backend)

    @property
    def is_local_mode(self) -> bool:
        """Jobs of a remote backend run on this machine."""
        return self.plugin.local_mode(self.settings)

    @property
    def is_elsewhere(self) -> bool:
        """Jobs run on other machines."""
        return self.plugin.remote and not self.is_local_mode

    def plain(self) -> dict[str, Any]:
        """For the journal."""
        return {
            "backend": self.backend,
            "settings": msgspec.to_builtins(self.settings, enc_hook=str),
            "detach": self.detach,
        }


def grid_from_plain(saved: Mapping[str, Any] | None) -> GridOptions:
    """What :meth:`GridOptions.plain` gave, after a journey through JSON; unknown settings are left out.

    Raises:
        ConfigError: the backend is not installed any more.
    """
    saved = saved or {}
    name = str(saved.get("backend", "local"))
    settings = _settings(f"backend {name}", saved, plugins.backend(name).settings)
    return GridOptions(name, settings, bool(saved.get("detach")))


def saved_grid(options: Mapping[str, Any] | None) -> GridOptions:
    """Where the jobs of a run are, by the options in its journal; raises as :func:`from_plain`."""
    return grid_from_plain(_of_this_format(options or {}).get("grid"))


def _settings(owner: str, saved: Mapping[str, Any], kind: type) -> Any:
    defaults = msgspec.to_builtins(
        kind(), enc_hook=str
    )  # not checked: an empty text is a default of texts that must not be empty
    given = saved.get("settings") or {}
    try:
        changed = {name: value for name, value in given.items() if name not in defaults or value != defaults[name]}
        return msgspec.convert(changed, kind, dec_hook=_path)
    except (msgspec.ValidationError, AttributeError) as error:
        raise ConfigError(
            f"The recorded settings of the {owner} cannot be read: {error}", remedy="Start the run again."
        ) from error


@dataclass(frozen=True, slots=True)
class StoreOptions:
    """Where files live between jobs."""

    store: str = "local"
    settings: Any = None
    """Of the store's settings class."""
    site: str = ""
    """Where this machine is, as the stores are configured."""

    def __post_init__(self) -> None:
        if self.settings is None:
            object.__setattr__(self, "settings", plugins.store(self.store).settings())

    def plain(self) -> dict[str, Any]:
        """For the journal."""
        return {"store": self.store, "settings": msgspec.to_builtins(self.settings, enc_hook=str), "site": self.site}


def store_from_plain(saved: Mapping[str, Any]) -> StoreOptions:
    """What :meth:`StoreOptions.plain` gave, after a journey through JSON; unknown settings are left out.

    Raises:
        ConfigError: the store is not installed any more.
    """
    name = str(saved.get("store", "local"))
    settings = _settings(f"store {name}", saved, plugins.store(name).settings)
    return StoreOptions(name, settings, str(saved.get("site", "")))


@dataclass(frozen=True, slots=True)
class CwltoolOptions:
    """What the user requested by these options."""

    targets: tuple[str, ...] = ()
    single_step: str | None = None
    single_process: str | None = None
    relative_deps: Literal["primary", "cwd"] = "primary"
    rdf_serializer: str = "turtle"
    log_dir: str | None = None
    checksums: bool = True
    js_validation: bool = True
    js_hints: str | None = None
    """A file of options for jshint."""
    registries: tuple[str, ...] | None = None
    """Where documents that are no files are looked for; None is cwltool's choice."""
    document_cache: bool = True
    """Documents that come by HTTP are kept on disk."""
    provenance: str | None = None
    """A folder, or a name that ends with ``.zip``, that gets the run as an RO-Crate when it ends."""
    orcid: str = ""
    full_name: str = ""
    user_provenance: bool = True
    host_provenance: bool = True
    crate_data: Literal["auto", "embed", "reference"] = "auto"
    crate_limit: int | None = None
    """Bytes of a file that the crate embeds."""
    containers: ContainerSettings = field(default_factory=ContainerSettings)

    def plain(self) -> dict[str, Any]:
        """For the journal."""
        values = {entry.name: getattr(self, entry.name) for entry in fields(self)}
        return values | {"containers": {entry.name: getattr(self.containers, entry.name) for entry in _CONTAINERS}}


_CONTAINERS = fields(ContainerSettings)


def _cwltool_from_plain(saved: Mapping[str, Any]) -> CwltoolOptions:
    """What :meth:`CwltoolOptions.plain` gave, after a journey through JSON; unknown fields are left out."""
    values = _known(saved, {entry.name for entry in fields(CwltoolOptions)})
    containers = _known(values.pop("containers", None) or {}, {entry.name for entry in _CONTAINERS})
    return CwltoolOptions(**values, containers=ContainerSettings(**containers))


def _known(saved: Mapping[str, Any], names: set[str]) -> dict[str, Any]:
    return {name: tuple(value) if isinstance(value, list) else value for name, value in saved.items() if name in names}


@dataclass(frozen=True, slots=True)
class Options:
    """What the user requested."""

    document: str
    words: tuple[str, ...] = ()
    """The words behind the document: an input file, or options for its inputs."""
    outdir: Path = field(default_factory=Path)
    basedir: str | None = None
    tmpdir_prefix: str = ""
    loudness: int = 0
    """-1 quiet, 0 normal, 1 verbose, 2 debug."""
    timestamps: bool = False
    """Messages begin with the time."""
    color: bool = True
    """The live display may be in color."""
    show: Show | None = None
    containers: bool = True
    engine: Engine = "docker"
    max_jobs: int | None = None
    on_error: Literal["stop", "continue"] = "stop"
    default_container: str | None = None
    capabilities: tuple[str, ...] = ()
    """Linux capabilities that containers keep."""
    processes: int | None = None
    """The most processes in a container; 0 is no limit."""
    leave_tmpdir: bool = False
    strict: bool = True
    validate: bool = True
    skip_schemas: bool = False
    enable_dev: bool = False
    eval_timeout_s: float = 60.0
    js_console: bool = False
    javascript: bool = True
    """Documents may hold JavaScript."""
    telemetry: bool = False
    """Send OpenTelemetry traces and metrics."""
    software: tuple[tuple[str, str, tuple[str, ...]], ...] = ()
    trusted_storage: tuple[str, ...] = ()
    """URLs below which credentials may be sent, in addition to those that Rucio names."""
    max_download_mib: int = 10 * 1024
    overrides: str | None = None
    preserve_environment: tuple[str, ...] = ()
    preserve_entire_environment: bool = False
    mpi_config_file: str | None = None
    write_summary: str | None = None
    background: bool = False
    """A process in the background works on the run."""
    run_name: str = ""
    """What the user calls the run."""
    state_dir: Path = field(default_factory=Path)
    cache_dir: Path = field(default_factory=Path)
    cache: bool = False
    """Keep results for other runs, and take theirs."""
    retries: int = 0
    retry_all: bool = False
    retry_memory: float | None = None
    """Jobs that ran out of memory run again with so many times as much."""
    settings: tuple[tuple[str, str, float], ...] = ()
    """Other resources than the document's: step, field, value."""
    cap_resources: bool = False
    """Jobs that ask for more than the machine has get what it has."""
    overwrite: bool = False
    publish_partial: bool = False
    outputs: Literal["move", "copy", "leave"] = "move"
    grid: GridOptions = field(default_factory=GridOptions)
    store: StoreOptions = field(default_factory=StoreOptions)
    cwltool: CwltoolOptions = field(default_factory=CwltoolOptions)
    """cwltool's options that have no other place."""
    server: str = ""
    """The URL of the service that the run is at; empty: it is of this process."""
    confinement: Confinement | None = None
    """What an untrusted document may read; None: what its user may."""
    grouping: Grouping | None = None
    """How the items of one input are grouped, over the document's own hint."""


_PATHS = ("outdir", "state_dir", "cache_dir")
_FORMAT = 3
"""Of recorded options. Those of format 1 have no number, and the settings of DIRAC and Rucio beside the names; up to
format 2, those of the local backend stand among the run's."""
_LOCAL_OF_FORMAT_2 = ("reuse_containers", "strict_memory_limit", "strict_cpu_limit")


def configured(
    config: Config,
    document: str,
    words: tuple[str, ...],
    outdir: Path,
    *,
    grid: GridOptions | None = None,
    store: StoreOptions | None = None,
) -> Options:
    """The options of a run by the user's configuration: the command line and Python put theirs over these.

    Args:
        config: the configuration.
        document: as the user wrote it.
        words: behind the document.
        outdir: for final outputs.
        grid: another choice of the backend.
        store: another choice of the store.
    """
    backend, store_name = config.backend or "local", config.store or "local"
    grid = grid or GridOptions(backend, plugins.configured(plugins.backend(backend), config))
    store = store or StoreOptions(
        store_name, plugins.configured(plugins.store(store_name), config), plugins.site(config)
    )
    values: dict[str, Any] = {
        "engine": None if config.engine == "none" else config.engine,
        "containers": config.engine != "none",
        "max_jobs": config.max_jobs,
        "capabilities": config.cap_add,
        "processes": config.pids_limit,
        "tmpdir_prefix": config.tmpdir_prefix or default_prefix(),
        "on_error": config.on_error,
        "retries": GRID_RETRIES if config.retries is None and grid.is_elsewhere else config.retries,
        "cache": config.cache,
        "javascript": config.javascript,
        "telemetry": config.telemetry,
        "software": config.packages,
        "trusted_storage": config.trusted_storage,
        "max_download_mib": config.max_download_mib,
    }
    return Options(
        document=document,
        words=words,
        outdir=outdir,
        state_dir=config.state().absolute(),
        cache_dir=config.caches().absolute(),
        grid=grid,
        store=store,
        **_given(values),
    )


def default_prefix() -> str:
    """The prefix of working folders."""
    return os.path.join(os.environ.get("TMPDIR", "/tmp"), "gridcwl-")  # noqa: PTH118, S108  a prefix, not a path


def _given(values: Mapping[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in values.items() if value is not None}


def to_plain(options: Options) -> dict[str, Any]:
    """The options as the journal keeps them."""
    values = {entry.name: getattr(options, entry.name) for entry in fields(options)}
    plain = {name: str(Path(value).absolute()) if name in _PATHS else value for name, value in values.items()}
    parts: dict[str, Any] = {"grid": options.grid, "store": options.store, "cwltool": options.cwltool}
    if options.confinement is not None:
        parts["confinement"] = options.confinement
    if options.grouping is not None:
        parts["grouping"] = options.grouping
    return plain | {name: part.plain() for name, part in parts.items()} | {"format": _FORMAT}


def from_plain(saved: Mapping[str, Any]) -> Options:
    """The options that :func:`to_plain` gave, after a round trip through JSON; unknown fields are left out.

    Raises:
        ConfigError: a later version recorded them, or the backend or the store is not installed any more.
    """
    saved = _of_this_format(saved)
    missing = [name for name in _PATHS if name not in saved]
    if missing:
        raise ConfigError(f"The run's recorded options have no {missing[0]}", remedy="Start the run again.")
    parts: dict[str, Any] = {
        "grid": grid_from_plain(saved.get("grid")),
        "store": store_from_plain(saved.get("store") or {}),
        "cwltool": _cwltool_from_plain(saved.get("cwltool") or {}),
    }
    try:
        values = {name: value for name, value in saved.items() if name not in parts}
        return replace(msgspec.convert(values, Options, dec_hook=_path), **parts)
    except msgspec.ValidationError as error:
        raise ConfigError(
            f"The run's recorded options cannot be read: {error}", remedy="Start the run again."
        ) from error


def _path(_kind: type, value: Any) -> Path:
    """A path of recorded options: the only type among them that msgspec does not know."""
    return Path(str(value))


def _of_this_format(saved: Mapping[str, Any]) -> Mapping[str, Any]:
    """Recorded options as this version records them, whichever version did.

    Raises:
        ConfigError: it was a later one.
    """
    number = saved.get("format", 1)
    if not isinstance(number, int) or number > _FORMAT:
        raise ConfigError(
            f"The run's options are of format {number}, and this version reads formats up to {_FORMAT}",
            remedy="Use the version of gridcwl that started the run.",
        )
    if number == _FORMAT:
        return saved
    grid, store = _grid_of_format_1(saved.get("grid") or {}), _store_of_format_1(saved.get("store") or {})
    if grid["backend"] == "local":
        grid = {**grid, "settings": {name: saved[name] for name in _LOCAL_OF_FORMAT_2 if name in saved}}
    return {**saved, "grid": grid, "store": store}


def _grid_of_format_1(saved: Mapping[str, Any]) -> Mapping[str, Any]:
    if "settings" in saved:
        return saved
    name = saved.get("backend", "local")
    settings: dict[str, Any] = {}
    if name != "local":
        settings = {key: value for key, value in saved.items() if key not in ("backend", "detach", "dirac_mode")}
        if name == "dirac":
            settings["mode"] = saved.get("dirac_mode", "wms")
    return {"backend": name, "settings": settings, "detach": saved.get("detach", False)}


def _store_of_format_1(saved: Mapping[str, Any]) -> Mapping[str, Any]:
    if "settings" in saved:
        return saved
    name = saved.get("store", "local")
    settings = {key: value for key, value in saved.items() if key != "store"} if name != "local" else {}
    return {"store": name, "settings": settings, "site": saved.get("site", "")}
