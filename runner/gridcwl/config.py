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
from gridcwl.settings import Declared, Field, variable

Engine: TypeAlias = Literal["docker", "podman", "singularity", "udocker", "none"]

_APP = "gridcwl"
_PREFIX = "GRIDCWL_"
_ENGINES = ("docker", "podman", "singularity", "udocker", "none")
_ON_ERROR = ("stop", "continue")
_SOFTWARE = 'a table: root = { image = "rootproject/root:6.30" } or root = { modules = ["root/6.30"] }'
_YES = {"1": True, "true": True, "yes": True, "on": True, "0": False, "false": False, "no": False, "off": False}


@dataclass(frozen=True, slots=True)
class Config:
    """Settings that hold for all runs of a user. None: not set."""

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
    backend: str | None = None
    """Where jobs run."""
    store: str | None = None
    """Where files live between jobs."""
    tables: Mapping[str, Mapping[str, Any]] = dataclasses.field(default_factory=dict)
    """Settings of plugins that are set: by table, and by the field of the plugin's settings class."""

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


def load(environment: Mapping[str, str], declared: Declared | None = None) -> Config:
    """The settings of file and environment.

    Args:
        environment: the variables.
        declared: what plugins add; None leaves their settings out.

    Raises:
        ConfigError: naming file and line, or the variable, and what it takes.
    """
    config = _from_file(environment, declared)
    found = {name: environment[_PREFIX + name.upper()] for name in _READERS if environment.get(_PREFIX + name.upper())}
    values: dict[str, Any] = {}
    for name, text in found.items():
        try:
            values[name] = _reader(name, declared)(text, Path.cwd())
        except _Wrong as error:
            variable = _PREFIX + name.upper()
            raise ConfigError(
                f"{variable} is {text!r}, but takes {error}", remedy=f"Correct or unset {variable}."
            ) from None
    tables = _tables_of(environment, declared or Declared())
    values["tables"] = {
        name: {**config.tables.get(name, {}), **tables.get(name, {})} for name in (*config.tables, *tables)
    }
    return dataclasses.replace(config, **values)


def overlaid(config: Config, values: Mapping[str, Any], base: Path, declared: Declared) -> Config:
    """The settings with others over them; of a table those that it has.

    Args:
        config: the settings.
        values: by the names that the configuration file has.
        base: where relative paths count from.
        declared: what plugins add.

    Raises:
        ConfigError: a setting does not take its value.
    """
    changes: dict[str, Any] = {}
    tables = dict(config.tables)
    for name, value in values.items():
        try:
            if name in declared.tables:
                read = _table(name, _as_in_toml(value), declared.tables[name])
                tables[name] = {**tables.get(name, {}), **read}
            else:
                changes[name] = _reader(name, declared)(_as_in_toml(value), base)
        except _Wrong as error:
            raise ConfigError(f"{name} is {value!r}, but takes {error}") from None
    return dataclasses.replace(config, tables=tables, **changes)


def _as_in_toml(value: Any) -> Any:
    """Paths as texts, and tuples as lists."""
    if isinstance(value, Path):
        return str(value)
    if isinstance(value, list | tuple | set | frozenset):
        return [_as_in_toml(item) for item in value]
    if isinstance(value, Mapping):
        return {key: _as_in_toml(item) for key, item in value.items()}
    return value


def _tables_of(environment: Mapping[str, str], declared: Declared) -> dict[str, dict[str, Any]]:
    found: dict[str, dict[str, Any]] = {}
    for table, settings in declared.tables.items():
        for key, setting in settings.items():
            name = variable(table, key)
            if setting.is_table or not (text := environment.get(name)):
                continue
            try:
                found.setdefault(table, {})[setting.name] = setting.decode_text(text)
            except ValueError as error:
                raise ConfigError(
                    f"{name} is {text!r}, but takes {error}", remedy=f"Correct or unset {name}."
                ) from None
    return found


def _from_file(environment: Mapping[str, str], declared: Declared | None) -> Config:
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
    return parsed(text, path, declared)


def parsed(text: str, path: Path, declared: Declared | None = None) -> Config:
    """The settings of a configuration file's text; ``declared`` as for :func:`load`.

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
    tables: dict[str, dict[str, Any]] = {}
    known = declared.tables if declared else {}
    for name, value in written.items():
        where = f"{path}:{_line(text, name)}"
        if name not in _READERS and name not in known:
            if declared is None and isinstance(value, dict):
                continue
            names = ", ".join((*_READERS, *known))
            raise ConfigError(f"{where}: there is no setting {name!r}", remedy=f"Known are: {names}.")
        try:
            if name in known:
                tables[name] = _table(name, value, known[name])
            else:
                values[name] = _reader(name, declared)(value, path.parent)
        except _Wrong as error:
            raise ConfigError(f"{where}: {name} is {value!r}, but takes {error}", remedy="Correct that line.") from None
    return Config(**values, tables=tables)


def _reader(name: str, declared: Declared | None) -> Callable[[Any, Path], Any]:
    if declared is not None and name in ("backend", "store"):
        return _one_of(declared.backends if name == "backend" else declared.stores)
    return _READERS[name]


def _table(name: str, value: Any, known: Mapping[str, Field]) -> dict[str, Any]:
    """The settings of a plugin's table by the fields of its class."""
    if not isinstance(value, dict):
        raise _Wrong(f"a table of settings: [{name}]")
    values: dict[str, Any] = {}
    for key, setting in value.items():
        if key not in known:
            raise _Wrong(f"only {', '.join(known)}")
        try:
            values[known[key].name] = known[key].decode(setting)
        except ValueError as error:
            raise _Wrong(f"as {key} {error}") from None
    return values


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
    "backend": _name,
    "store": _name,
}


def from_environment() -> Config:
    """The settings as this process finds them; raises as :func:`load`."""
    return load(os.environ)
