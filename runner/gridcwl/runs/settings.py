"""Settings of a run as Python gives them: those of the configuration file, and those that only one run has."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, Literal, TypedDict

from gridcwl import plugins
from gridcwl.config import Config, overlaid
from gridcwl.errors import ConfigError
from gridcwl.model.confinement import Confinement
from gridcwl.model.grouping import Grouping, read_grouping
from gridcwl.runs.options import Options, configured
from gridcwl.runs.record.folder import checked_run_name
from gridcwl.suggest import did_you_mean


class ResumeSettings(TypedDict, total=False):
    """What can be changed when a run is resumed."""

    outdir: str | Path
    """Final outputs go there. Relative paths count from the current folder."""
    max_jobs: int
    """Jobs that run at a time, on this machine."""
    on_error: Literal["stop", "continue"]
    """After a job failed: stop, or run all jobs that do not need its outputs."""
    retries: int
    """How often a temporary failure is retried."""
    retry_all: bool
    """Retry whatever the failure."""
    retry_memory: float
    """Jobs that ran out of memory run again with so many times as much."""
    engine: Literal["docker", "podman", "singularity", "udocker", "none"]
    """What runs containers; none runs the bare commands."""
    set: Mapping[str, float]
    """Other resources than the document's: ``{"align.ramMin": 8000}``."""
    cap_resources: bool
    """Jobs that ask for more than the machine has get what it has."""
    overwrite: bool
    """Replace files in the output directory that this document did not make."""
    publish_partial: bool
    """If the run fails, put the outputs that there are into ``OUTDIR/partial-RUN``."""


class Settings(ResumeSettings, total=False):
    """All settings of a run. Those that are not given come from the environment and the configuration file."""

    name: str
    """What the run is called, in addition to its id."""
    basedir: str | Path
    """Relative paths of inputs count from there; default: the current folder, or the input file's."""
    backend: str
    """Where jobs run: ``local``, ``dirac``, ``diracx``."""
    store: str
    """Where files are between jobs: ``local``, ``rucio``."""
    local: Mapping[str, Any]
    """As the table ``[local]`` of the configuration file."""
    dirac: Mapping[str, Any]
    """As the table ``[dirac]`` of the configuration file."""
    rucio: Mapping[str, Any]
    """As the table ``[rucio]`` of the configuration file."""
    state_dir: str | Path
    """Where runs are recorded."""
    cache_dir: str | Path
    """Where checksums, downloads and results for other runs are."""
    cache: bool
    """Keep results for other runs, and take theirs."""
    tmpdir_prefix: str | Path
    """The beginning of the path of the run's working folder."""
    leave_tmpdir: bool
    """Keep the working folder."""
    outputs: Literal["move", "copy", "leave"]
    """How outputs come to the output directory."""
    reuse_containers: bool
    """Run job after job in the same container, with docker."""
    cap_add: Sequence[str]
    """Linux capabilities that containers keep."""
    pids_limit: int
    """The most processes in a container; 0 is no limit."""
    default_container: str
    """The image for tools that name none."""
    strict_memory_limit: bool
    """Hold containers to their ``ramMin``."""
    strict_cpu_limit: bool
    """Hold containers to their ``coresMin``."""
    preserve_environment: Sequence[str]
    """Variables that tools without a container get from this process."""
    preserve_entire_environment: bool
    overrides: str | Path
    """A file of requirements that replace those of the document."""
    javascript: bool
    """False refuses documents that need JavaScript."""
    telemetry: bool
    """Send OpenTelemetry traces and metrics of the run."""
    eval_timeout: float
    """Seconds for one JavaScript expression."""
    strict: bool
    """False lets unknown fields of the document pass."""
    skip_schemas: bool
    """Do not load ``$schemas``."""
    enable_dev: bool
    """Accept development versions of CWL."""
    software: Mapping[str, Any]
    """As the table ``[software]`` of the configuration file."""
    trusted_storage: Sequence[str]
    """URLs below which credentials may be sent, in addition to those that Rucio names."""
    max_download_mib: int
    """The largest input that is downloaded from the web."""
    confinement: Confinement
    """Which files and URLs an untrusted document may name; its tools run in containers only."""
    group: str
    """Files per job, as ``"events=10"``: the document runs once for each group."""
    chunks: str | int
    """The number of groups, as ``4`` or ``"events=4"``."""
    balance: Literal["size", "events"]
    """Groups of about the same bytes or events."""
    targets: Sequence[str]
    """Only what these outputs need, or what needs these steps."""
    single_step: str
    """Only this step of the workflow."""
    single_process: str
    """Only the tool or workflow that this step runs."""


_TEXT, _PATH, _WORDS, _SWITCH, _NUMBER = "a text", "a path", "a list of texts", "True or False", "a number"
_RUN: dict[str, tuple[str, str]] = {
    "outdir": ("outdir", _PATH),
    "name": ("run_name", _TEXT),
    "basedir": ("basedir", _PATH),
    "retry_all": ("retry_all", _SWITCH),
    "retry_memory": ("retry_memory", _NUMBER),
    "cap_resources": ("cap_resources", _SWITCH),
    "overwrite": ("overwrite", _SWITCH),
    "publish_partial": ("publish_partial", _SWITCH),
    "leave_tmpdir": ("leave_tmpdir", _SWITCH),
    "default_container": ("default_container", _TEXT),
    "preserve_environment": ("preserve_environment", _WORDS),
    "preserve_entire_environment": ("preserve_entire_environment", _SWITCH),
    "overrides": ("overrides", _PATH),
    "eval_timeout": ("eval_timeout_s", _NUMBER),
    "strict": ("strict", _SWITCH),
    "skip_schemas": ("skip_schemas", _SWITCH),
    "enable_dev": ("enable_dev", _SWITCH),
}
"""Settings that the configuration file does not have: the field of ``Options``, and what it takes."""
_PARTS = {"targets": _WORDS, "single_step": _TEXT, "single_process": _TEXT}
_OTHERS = frozenset({"set", "outputs", "confinement", "group", "chunks", "balance"})
_RESUMABLE = frozenset(ResumeSettings.__annotations__)


def options_for(document: str, words: tuple[str, ...], settings: Mapping[str, Any], folder: Path) -> Options:
    """The options of a run.

    Args:
        document: as the user wrote it.
        words: the input file, an empty text for an input object that is given, or nothing.
        settings: see ``Settings``.
        folder: where relative paths count from.

    Raises:
        ConfigError: there is no such setting, or it does not take the value.
    """
    _check_names(settings, frozenset(Settings.__annotations__) | _RESUMABLE | _of_configuration())
    options = configured(_configuration(settings, folder), document, words, folder)
    return _applied(options, settings, folder)


def changed(options: Options, settings: Mapping[str, Any], folder: Path) -> Options:
    """A run's options with changes. Raises as :func:`options_for`."""
    _check_names(settings, _RESUMABLE)
    config = overlaid(Config(), _part(settings, _of_configuration()), folder, plugins.declared())
    names: dict[str, Any] = {"max_jobs": config.max_jobs, "on_error": config.on_error, "retries": config.retries}
    options = replace(options, **{name: value for name, value in names.items() if value is not None})
    if config.engine is not None:
        options = replace(options, containers=config.engine != "none")
        options = options if config.engine == "none" else replace(options, engine=config.engine)
    return _applied(replace(options, grid=replace(options.grid, detach=False)), settings, folder)


def state_folder(settings: Mapping[str, Any]) -> Path:
    """Where runs are recorded. Raises as :func:`options_for`."""
    _check_names(settings, frozenset(Settings.__annotations__) | _RESUMABLE | _of_configuration())
    return _configuration(settings, Path.cwd()).state().absolute()


def cache_folder(settings: Mapping[str, Any]) -> Path:
    """Where what may be lost is. Raises as :func:`options_for`."""
    return _configuration(settings, Path.cwd()).caches().absolute()


def _configuration(settings: Mapping[str, Any], folder: Path) -> Config:
    return overlaid(plugins.configuration(), _part(settings, _of_configuration()), folder, plugins.declared())


def _of_configuration() -> frozenset[str]:
    """Settings that the configuration file has, too: gridcwl's own, and the tables of plugins."""
    declared = plugins.declared()
    return frozenset({*Config.__struct_fields__, *declared.tables, *declared.alone} - {"tables"})


def _part(settings: Mapping[str, Any], names: frozenset[str]) -> dict[str, Any]:
    return {name: value for name, value in settings.items() if name in names and value is not None}


def _check_names(settings: Mapping[str, Any], known: frozenset[str]) -> None:
    for name in settings:
        if name not in known:
            raise ConfigError(f"There is no setting {name!r} here", remedy=did_you_mean(name, sorted(known)))


def _applied(options: Options, settings: Mapping[str, Any], folder: Path) -> Options:
    """The options with the settings that the configuration file does not have."""
    changes: dict[str, Any] = {}
    parts: dict[str, Any] = {}
    for name, value in settings.items():
        if value is None:
            continue
        if name in _RUN:
            key, takes = _RUN[name]
            changes[key] = _checked(name, value, takes, folder)
        elif name in _PARTS:
            parts[name] = _checked(name, value, _PARTS[name], folder)
    if "run_name" in changes:
        checked_run_name(changes["run_name"])
    if "outdir" in changes:
        changes["outdir"] = Path(changes["outdir"])
    if (way := settings.get("outputs")) is not None:
        if way not in ("move", "copy", "leave"):
            raise ConfigError(f"outputs is {way!r}, but takes one of: move, copy, leave")
        changes["outputs"] = way
    if (confinement := settings.get("confinement")) is not None:
        if not isinstance(confinement, Confinement):
            raise ConfigError(f"confinement is {confinement!r}, but takes a Confinement")
        changes["confinement"] = confinement
    if (resources := settings.get("set")) is not None:
        changes["settings"] = (*options.settings, *_resources(resources))
    changes["grouping"] = _grouping(settings) or options.grouping
    if (factor := changes.get("retry_memory")) is not None and not 1 < factor <= 100:
        raise ConfigError(f"retry_memory is {factor!r}, but takes a number above 1 and up to 100")
    return replace(options, cwltool=replace(options.cwltool, **parts), **changes)


def _grouping(settings: Mapping[str, Any]) -> Grouping | None:
    given = [settings.get(name) for name in ("group", "chunks", "balance")]
    try:
        return read_grouping(*(None if one is None else str(one) for one in given))
    except ValueError as error:
        raise ConfigError(str(error).replace("--", ""), remedy='As in group="events=10".') from None


def _checked(name: str, value: Any, takes: str, folder: Path) -> Any:
    kinds: dict[str, tuple[type, ...]] = {
        _TEXT: (str,), _PATH: (str, Path), _SWITCH: (bool,), _NUMBER: (int, float), _WORDS: (list, tuple),
    }  # fmt: skip
    wrong = not isinstance(value, kinds[takes]) or (takes == _NUMBER and isinstance(value, bool))
    if wrong or (takes == _WORDS and not all(isinstance(word, str) for word in value)):
        raise ConfigError(f"{name} is {value!r}, but takes {takes}")
    if takes == _PATH:
        return str(folder / value)
    return tuple(value) if takes == _WORDS else value


def _resources(given: Any) -> list[tuple[str, str, float]]:
    if not isinstance(given, Mapping):
        raise ConfigError(f"set is {given!r}, but takes a table as in {{'align.ramMin': 8000}}")
    found = []
    for name, value in given.items():
        if not isinstance(value, int | float) or isinstance(value, bool) or not 0 <= value < float("inf"):
            raise ConfigError(f"set gives {name} the value {value!r}, which is not a possible one")
        step, _, field = str(name).rpartition(".")
        found.append((step, field, value))
    return found
