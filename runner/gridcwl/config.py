"""The user's settings: from a TOML file, the environment and the command line, later ones over earlier ones.

    # ~/.config/gridcwl/config.toml
    engine = "podman"        # GRIDCWL_ENGINE, --podman
    max_jobs = 8             # GRIDCWL_MAX_JOBS, --max-jobs 8

The file is ``config.toml`` in the user's configuration folder, or what ``GRIDCWL_CONFIG`` names.
"""

from __future__ import annotations

import dataclasses
import os
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, TypeAlias

from gridcwl.errors import ConfigError

Engine: TypeAlias = Literal["docker", "podman", "singularity", "udocker", "none"]

_APP = "gridcwl"
_PREFIX = "GRIDCWL_"
_ENGINES = ("docker", "podman", "singularity", "udocker", "none")
_ON_ERROR = ("stop", "continue")
_SOFTWARE = 'a table: root = { image = "rootproject/root:6.30" } or root = { modules = ["root/6.30"] }'
_YES = {"1": True, "true": True, "yes": True, "on": True, "0": False, "false": False, "no": False, "off": False}


@dataclass(frozen=True, slots=True)
class DiracConfig:
    """The table ``[dirac]``: what holds for all jobs at DIRAC. None and empty are for: nobody said so."""

    mode: Literal["wms", "local"] | None = None
    """wms is the grid; local is DIRAC's own local mode."""
    sites: tuple[str, ...] = ()
    banned: tuple[str, ...] = ()
    tags: tuple[str, ...] = ()
    platform: str | None = None
    priority: int | None = None
    job_type: str | None = None
    cpu_time: int | None = None
    """Seconds, for tools without a time limit."""
    locality: Literal["prefer", "strict", "off"] | None = None
    local_mib: int | None = None
    local_wait: int | None = None
    """With less to move than this, ``prefer`` lets a job run anywhere."""
    pack: int | Literal["auto"] | None = None
    window: int | None = None
    """Jobs under way at a time."""
    longest_pause: int | None = None
    """Seconds between two questions how jobs stand, where nothing happens."""
    stalled_after: int | None = None
    """Seconds after which a job that gives no sign of life is given up."""
    engines: Mapping[str, tuple[str, ...]] = dataclasses.field(default_factory=dict)
    """By site, or ``*`` for all: container engines in the order in which they are looked for."""
    images: Mapping[str, tuple[str, ...]] = dataclasses.field(default_factory=dict)
    """By site, or ``*``: where images lie, as ``gridcwl.worker.site.located`` reads it."""


@dataclass(frozen=True, slots=True)
class RucioConfig:
    """The table ``[rucio]``: how Rucio is used; where it is and who we are is in rucio.cfg."""

    scope: str | None = None
    name: str | None = None
    """How names begin."""
    rse: str | None = None
    """An RSE expression: where jobs leave their outputs."""
    site: str | None = None
    """Where this machine is."""
    sites: Mapping[str, tuple[str, ...]] = dataclasses.field(default_factory=dict)
    """By site: storage elements that its workers use first, beside those whose attribute ``site`` says so."""
    keep_days: float | None = None
    """How long what lies between the steps is kept after a run."""
    lifetime: float | None = None
    """Days that final outputs are kept."""
    copies: int | None = None
    rse_expression: str | None = None
    download: bool | None = None
    cache_scopes: tuple[str, ...] = ()
    """Where ``--cache rucio`` looks beside our own scope."""


@dataclass(frozen=True, slots=True)
class Config:
    """Settings that hold for all runs of a user. None is for: nobody said so."""

    state_dir: Path | None = None
    """Runs, their journals and logs; by default the user's state folder."""
    cache_dir: Path | None = None
    """What may be lost: results for other runs, checksums; by default the user's cache folder."""
    engine: Engine | None = None
    """docker, podman, singularity, udocker, or none for bare commands."""
    max_jobs: int | None = None
    reuse_containers: bool | None = None
    """Start job after job in the same container, with docker."""
    cap_add: tuple[str, ...] = ()
    """Linux capabilities that containers keep; all others are dropped."""
    pids_limit: int | None = None
    """The most processes and threads in a container; 0 is no limit."""
    tmpdir_prefix: str | None = None
    on_error: Literal["stop", "continue"] | None = None
    """stop or continue."""
    retries: int | None = None
    cache: bool | None = None
    """Keep results for other runs, and take theirs."""
    javascript: bool | None = None
    """False refuses documents that need JavaScript."""
    software: tuple[tuple[str, str, tuple[str, ...]], ...] = ()
    """Packages of SoftwareRequirement: name, image, environment modules."""
    trusted_storage: tuple[str, ...] = ()
    """URLs below which credentials may be sent, in addition to the storage elements that Rucio names."""
    max_download_mib: int | None = None
    """The largest input that is downloaded from the web."""
    backend: Literal["local", "dirac", "diracx"] | None = None
    """Where jobs run."""
    dirac: DiracConfig = dataclasses.field(default_factory=DiracConfig)
    store: Literal["local", "rucio"] | None = None
    """Where files live between jobs."""
    rucio: RucioConfig = dataclasses.field(default_factory=RucioConfig)

    def state(self) -> Path:
        """The folder for runs."""
        if self.state_dir is not None:
            return self.state_dir
        import platformdirs

        return platformdirs.user_state_path(_APP)

    def caches(self) -> Path:
        """The folder for what may be lost."""
        if self.cache_dir is not None:
            return self.cache_dir
        import platformdirs

        return platformdirs.user_cache_path(_APP)


def private_folder(path: Path) -> None:
    """Make a folder, and what is missing above it, for this user only. One that is there stays as it is.

    Raises:
        OSError: there is no room, or no permission.
    """
    missing = [folder for folder in (path, *path.parents) if not folder.exists()]
    for folder in reversed(missing):
        folder.mkdir(mode=0o700, exist_ok=True)


class _Wrong(Exception):
    """A value that is not what its setting takes; says what it takes."""


def load(environment: Mapping[str, str]) -> Config:
    """The settings of file and environment.

    Raises:
        ConfigError: naming file and line, or the variable, and what it takes.
    """
    config = _from_file(environment)
    found = {name: environment[_PREFIX + name.upper()] for name in _READERS if environment.get(_PREFIX + name.upper())}
    values: dict[str, Any] = {}
    for name, text in found.items():
        try:
            values[name] = _READERS[name](text, Path.cwd())
        except _Wrong as error:
            variable = _PREFIX + name.upper()
            raise ConfigError(
                f"{variable} is {text!r}, but takes {error}", remedy=f"Correct or unset {variable}."
            ) from None
    return dataclasses.replace(config, **values)


def overlaid(config: Config, values: Mapping[str, Any], base: Path) -> Config:
    """The settings with others over them; of a table those that it has.

    Args:
        config: the settings.
        values: by the names that the configuration file has.
        base: where relative paths count from.

    Raises:
        ConfigError: a setting does not take its value.
    """
    changes: dict[str, Any] = {}
    for name, value in values.items():
        try:
            read = _READERS[name](_as_in_toml(value), base)
        except _Wrong as error:
            raise ConfigError(f"{name} is {value!r}, but takes {error}") from None
        before = getattr(config, name)
        if dataclasses.is_dataclass(before) and not isinstance(before, type):
            read = dataclasses.replace(before, **{key: getattr(read, key) for key in value})
        changes[name] = read
    return dataclasses.replace(config, **changes)


def _as_in_toml(value: Any) -> Any:
    """Paths as texts, and tuples as lists."""
    if isinstance(value, Path):
        return str(value)
    if isinstance(value, list | tuple | set | frozenset):
        return [_as_in_toml(item) for item in value]
    if isinstance(value, Mapping):
        return {key: _as_in_toml(item) for key, item in value.items()}
    return value


def _from_file(environment: Mapping[str, str]) -> Config:
    named = environment.get("GRIDCWL_CONFIG")
    if named:
        path = Path(named)
    else:
        import platformdirs

        path = platformdirs.user_config_path(_APP) / "config.toml"
    try:
        text = path.read_text("utf-8")
    except FileNotFoundError:
        if named:
            raise ConfigError(
                f"GRIDCWL_CONFIG names {named}, which does not exist", remedy="Correct or unset it."
            ) from None
        return Config()
    except (OSError, UnicodeDecodeError) as error:
        why = getattr(error, "strerror", None) or "it is not UTF-8"
        raise ConfigError(f"The configuration {path} cannot be read: {why}") from error
    return parsed(text, path)


def parsed(text: str, path: Path) -> Config:
    """The settings of a configuration file's text.

    Raises:
        ConfigError: naming the line.
    """
    import tomllib

    try:
        written = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise ConfigError(f"{path} is not readable TOML: {error}", remedy="Write lines of NAME = VALUE.") from None
    except RecursionError:
        raise ConfigError(f"{path} is nested too deeply", remedy="Write lines of NAME = VALUE.") from None
    values: dict[str, Any] = {}
    for name, value in written.items():
        where = f"{path}:{_line(text, name)}"
        reader = _READERS.get(name)
        if reader is None:
            raise ConfigError(f"{where}: there is no setting {name!r}", remedy=f"Known are: {', '.join(_READERS)}.")
        try:
            values[name] = reader(value, path.parent)
        except _Wrong as error:
            raise ConfigError(f"{where}: {name} is {value!r}, but takes {error}", remedy="Correct that line.") from None
    return Config(**values)


def _line(text: str, name: str) -> int:
    wanted = re.compile(rf"""\s*\[*\s*["']?{re.escape(name)}["']?\s*[]=.]""")
    return next((number for number, line in enumerate(text.splitlines(), 1) if wanted.match(line)), 1)


def _folder(value: Any, base: Path) -> Path:
    if not isinstance(value, str) or not value:
        raise _Wrong("the path of a folder")
    return base / Path(value).expanduser()


def _text(value: Any, _base: Path) -> str:
    if not isinstance(value, str) or not value:
        raise _Wrong("a path prefix")
    return str(Path(value).expanduser()) + ("/" if value.endswith("/") else "")


def _one_of(words: tuple[str, ...]) -> Callable[[Any, Path], str]:
    def read(value: Any, _base: Path) -> str:
        if value not in words:
            raise _Wrong(f"one of: {', '.join(words)}")
        return str(value)

    return read


def _at_least(least: int) -> Callable[[Any, Path], int]:
    def read(value: Any, _base: Path) -> int:
        if isinstance(value, str) and re.fullmatch(r"\d{1,9}", value):
            value = int(value)
        if not isinstance(value, int) or isinstance(value, bool) or value < least:
            raise _Wrong(f"a whole number, at least {least}")
        return value

    return read


def _switch(value: Any, _base: Path) -> bool:
    value = _YES.get(value.lower()) if isinstance(value, str) else value
    if not isinstance(value, bool):
        raise _Wrong("true or false")
    return value


def _name(value: Any, _base: Path) -> str:
    if not isinstance(value, str) or not value:
        raise _Wrong("a word")
    return value


def _names(value: Any, _base: Path) -> tuple[str, ...]:
    if not isinstance(value, list) or not all(isinstance(item, str) for item in value):
        raise _Wrong("a list of words")
    return tuple(value)


def _storage_urls(value: Any, _base: Path) -> tuple[str, ...]:
    urls = value.split() if isinstance(value, str) else value
    known = ("davs://", "https://", "root://", "roots://")
    if not isinstance(urls, list) or not all(isinstance(url, str) and url.startswith(known) for url in urls):
        raise _Wrong('a list of storage URLs: ["davs://dcache.example.org:2880/pnfs/"]')
    return tuple(urls)


def capability(text: str) -> str:
    """The name of a Linux capability as container engines take it: in capitals, without ``CAP_``.

    Raises:
        ValueError: it is no such name.
    """
    name = text.strip().upper().removeprefix("CAP_")
    if not re.fullmatch(r"[A-Z][A-Z_]*", name):
        raise ValueError(f"{text!r} is not the name of a Linux capability, such as NET_RAW")
    return name


def _capabilities(value: Any, base: Path) -> tuple[str, ...]:
    words = [word for word in value.split(",") if word.strip()] if isinstance(value, str) else value
    try:
        return tuple(capability(word) for word in _names(words, base))
    except (_Wrong, ValueError):
        raise _Wrong('names of Linux capabilities: ["NET_RAW", "SYS_PTRACE"], or NET_RAW,SYS_PTRACE') from None


def _lists_by_site(value: Any, base: Path) -> dict[str, tuple[str, ...]]:
    if not isinstance(value, dict):
        raise _Wrong("a table: SITE = [WORD, ...]")
    return {site: _names(words, base) for site, words in value.items()}


def _software(value: Any, _base: Path) -> tuple[tuple[str, str, tuple[str, ...]], ...]:
    if not isinstance(value, dict):
        raise _Wrong(_SOFTWARE)
    return tuple(_package(package, where) for package, where in value.items())


def _package(name: str, where: Any) -> tuple[str, str, tuple[str, ...]]:
    if not isinstance(where, dict) or not where or not where.keys() <= {"image", "modules"}:
        raise _Wrong(_SOFTWARE)
    image, modules = where.get("image", ""), where.get("modules", [])
    modules = [modules] if isinstance(modules, str) else modules
    if not isinstance(image, str) or not isinstance(modules, list) or not all(isinstance(one, str) for one in modules):
        raise _Wrong(_SOFTWARE)
    return name, image, tuple(modules)


def _pack(value: Any, base: Path) -> int | str:
    return "auto" if value == "auto" else _at_least(1)(value, base)


def _dirac(value: Any, base: Path) -> DiracConfig:
    if not isinstance(value, dict):
        raise _Wrong("a table of settings: [dirac]")
    values: dict[str, Any] = {}
    for name, setting in value.items():
        if name not in _DIRAC_READERS:
            raise _Wrong(f"only {', '.join(_DIRAC_READERS)}")
        try:
            values[name] = _DIRAC_READERS[name](setting, base)
        except _Wrong as error:
            raise _Wrong(f"as {name} {error}") from None
    return DiracConfig(**values)


_DIRAC_READERS: dict[str, Callable[[Any, Path], Any]] = {
    "mode": _one_of(("wms", "local")),
    "sites": _names,
    "banned": _names,
    "tags": _names,
    "platform": _name,
    "priority": _at_least(0),
    "job_type": _name,
    "cpu_time": _at_least(1),
    "locality": _one_of(("prefer", "strict", "off")),
    "local_mib": _at_least(0),
    "local_wait": _at_least(0),
    "pack": _pack,
    "window": _at_least(1),
    "longest_pause": _at_least(1),
    "stalled_after": _at_least(1),
    "engines": _lists_by_site,
    "images": _lists_by_site,
}


def _rucio(value: Any, base: Path) -> RucioConfig:
    if not isinstance(value, dict):
        raise _Wrong("a table of settings: [rucio]")
    values: dict[str, Any] = {}
    for name, setting in value.items():
        if name not in _RUCIO_READERS:
            raise _Wrong(f"only {', '.join(_RUCIO_READERS)}")
        try:
            values[name] = _RUCIO_READERS[name](setting, base)
        except _Wrong as error:
            raise _Wrong(f"as {name} {error}") from None
    return RucioConfig(**values)


def _plain_word(value: Any, _base: Path) -> str:
    if not isinstance(value, str) or not value:
        raise _Wrong("a text")
    return value


def _positive(value: Any, _base: Path) -> float:
    if not isinstance(value, int | float) or isinstance(value, bool) or not value > 0:
        raise _Wrong("a number greater than 0")
    return float(value)


def _names_by_site(value: Any, _base: Path) -> dict[str, tuple[str, ...]]:
    if not isinstance(value, dict):
        raise _Wrong('a table of lists: "LCG.CNAF.it" = ["CNAF-DISK"]')
    lists = {site: [names] if isinstance(names, str) else names for site, names in value.items()}
    if not all(isinstance(names, list) and all(isinstance(name, str) for name in names) for names in lists.values()):
        raise _Wrong('a table of lists: "LCG.CNAF.it" = ["CNAF-DISK"]')
    return {site: tuple(names) for site, names in lists.items()}


_RUCIO_READERS: dict[str, Callable[[Any, Path], Any]] = {
    "scope": _plain_word,
    "name": _plain_word,
    "rse": _plain_word,
    "site": _plain_word,
    "sites": _names_by_site,
    "keep_days": _positive,
    "lifetime": _positive,
    "copies": _at_least(1),
    "rse_expression": _plain_word,
    "download": _switch,
    "cache_scopes": _names,
}


_READERS: dict[str, Callable[[Any, Path], Any]] = {
    "state_dir": _folder,
    "cache_dir": _folder,
    "engine": _one_of(_ENGINES),
    "max_jobs": _at_least(1),
    "reuse_containers": _switch,
    "cap_add": _capabilities,
    "pids_limit": _at_least(0),
    "tmpdir_prefix": _text,
    "on_error": _one_of(_ON_ERROR),
    "retries": _at_least(0),
    "cache": _switch,
    "javascript": _switch,
    "trusted_storage": _storage_urls,
    "software": _software,
    "max_download_mib": _at_least(1),
    "backend": _one_of(("local", "dirac", "diracx")),
    "dirac": _dirac,
    "store": _one_of(("local", "rucio")),
    "rucio": _rucio,
}


def from_environment() -> Config:
    """The settings as this process finds them; raises as :func:`load`."""
    return load(os.environ)
