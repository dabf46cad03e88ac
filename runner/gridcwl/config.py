"""The user's settings: from a TOML file, the environment and the command line, later ones over earlier ones.

    # ~/.config/gridcwl/config.toml
    engine = "podman"        # GRIDCWL_ENGINE, --podman
    max_jobs = 8             # GRIDCWL_MAX_JOBS, --max-jobs 8

The file is ``config.toml`` in the user's configuration folder, or what ``GRIDCWL_CONFIG`` names.
"""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Literal, TypeAlias

import msgspec

from gridcwl.errors import ConfigError
from gridcwl.settings import Declared, Field, Setting, fields_of, variable

Engine: TypeAlias = Literal["docker", "podman", "singularity", "udocker", "none"]
Count: TypeAlias = Annotated[int, msgspec.Meta(ge=0)]
AtLeastOne: TypeAlias = Annotated[int, msgspec.Meta(ge=1)]
StorageUrl: TypeAlias = Annotated[str, msgspec.Meta(pattern="^(davs|https|roots?)://")]

_APP = "gridcwl"
_PREFIX = "GRIDCWL_"
_FOLDER = "the path of a folder"


class Package(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Where a package of SoftwareRequirement is."""

    image: str = ""
    modules: tuple[str, ...] | str = ()


def capability(text: str) -> str:
    """The name of a Linux capability as container engines take it: in capitals, without ``CAP_``.

    Raises:
        ValueError: it is no such name.
    """
    name = text.strip().upper().removeprefix("CAP_")
    if not re.fullmatch(r"[A-Z][A-Z_]*", name):
        raise ValueError(f"{text!r} is not the name of a Linux capability, such as NET_RAW")
    return name


def _capabilities(words: tuple[str, ...]) -> tuple[str, ...]:
    return tuple(capability(word) for word in words)


def _packages(packages: Mapping[str, Package]) -> Mapping[str, Package]:
    if Package() in packages.values():
        raise ValueError("a package has neither image nor modules")
    return packages


def _path_prefix(text: str) -> str:
    return str(Path(text).expanduser()) + ("/" if text.endswith("/") else "")


class Config(msgspec.Struct, frozen=True, kw_only=True):
    """Settings that hold for all runs of a user, by their names in the configuration file. None: not set."""

    state_dir: Annotated[Path | None, Setting("runs, their journals and logs", takes=_FOLDER)] = None
    cache_dir: Annotated[Path | None, Setting("results for other runs, checksums: what may be lost", takes=_FOLDER)] = (
        None
    )
    engine: Annotated[Engine | None, Setting("the container engine; none for bare commands")] = None
    max_jobs: Annotated[AtLeastOne | None, Setting("jobs that run at a time")] = None
    cap_add: Annotated[
        tuple[str, ...],
        Setting(
            "Linux capabilities that containers keep; all others are dropped",
            takes='names of Linux capabilities: ["NET_RAW", "SYS_PTRACE"], or NET_RAW,SYS_PTRACE',
            separator=",",
            check=_capabilities,
        ),
    ] = ()
    pids_limit: Annotated[Count | None, Setting("processes and threads in a container; 0 is no limit")] = None
    tmpdir_prefix: Annotated[
        Annotated[str, msgspec.Meta(min_length=1)] | None,
        Setting("how the paths of working folders begin", takes="a path prefix", check=_path_prefix),
    ] = None
    on_error: Annotated[Literal["stop", "continue"] | None, Setting("what happens when a job fails")] = None
    retries: Annotated[Count | None, Setting("retry temporary failures up to so many times")] = None
    cache: Annotated[bool | None, Setting("keep results for other runs, and reuse theirs")] = None
    javascript: Annotated[bool | None, Setting("false refuses documents that need JavaScript")] = None
    software: Annotated[
        Mapping[str, Package],
        Setting(
            "where packages of SoftwareRequirement are",
            takes='a table: root = { image = "rootproject/root:6.30" } or root = { modules = ["root/6.30"] }',
            check=_packages,
        ),
    ] = msgspec.field(default_factory=dict)
    trusted_storage: Annotated[
        tuple[StorageUrl, ...],
        Setting(
            "URLs below which credentials may be sent, in addition to the storage elements that Rucio names",
            takes='a list of storage URLs: ["davs://dcache.example.org:2880/pnfs/"]',
        ),
    ] = ()
    max_download_mib: Annotated[AtLeastOne | None, Setting("the largest input that is downloaded from the web")] = None
    telemetry: Annotated[bool | None, Setting("send OpenTelemetry traces and metrics of runs")] = None
    backend: Annotated[str | None, Setting("where jobs run", takes="a word")] = None
    store: Annotated[str | None, Setting("where files are between jobs", takes="a word")] = None
    tables: Mapping[str, Mapping[str, Any]] = msgspec.field(default_factory=dict)
    """Settings of plugins that are set: by table, and by the field of the plugin's settings class."""

    @property
    def packages(self) -> tuple[tuple[str, str, tuple[str, ...]], ...]:
        """The table ``software``: name, image, environment modules."""
        listed = [(name, one.image, one.modules) for name, one in self.software.items()]
        return tuple((name, image, (mods,) if isinstance(mods, str) else mods) for name, image, mods in listed)

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


_NAMES = tuple(name for name in Config.__struct_fields__ if name != "tables")


def load(environment: Mapping[str, str], declared: Declared | None = None) -> Config:
    """The settings of file and environment.

    Args:
        environment: the variables.
        declared: what plugins add; None leaves their settings out.

    Raises:
        ConfigError: naming file and line, or the variable, and what it takes.
    """
    config = _from_file(environment, declared)
    found = {name: environment[_PREFIX + name.upper()] for name in _NAMES if environment.get(_PREFIX + name.upper())}
    values: dict[str, Any] = {}
    for name, text in found.items():
        try:
            values[name] = _decoded(name, text, Path.cwd(), declared)
        except ValueError as error:
            of = _PREFIX + name.upper()
            raise ConfigError(f"{of} is {text!r}, but takes {error}", remedy=f"Correct or unset {of}.") from None
    tables = _tables_of(environment, declared or Declared())
    values["tables"] = {
        name: {**config.tables.get(name, {}), **tables.get(name, {})} for name in (*config.tables, *tables)
    }
    return msgspec.structs.replace(config, **values)


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
            if name in declared.tables or name in declared.alone:
                table, read = _of_table(name, _as_in_toml(value), declared)
                tables[table] = {**tables.get(table, {}), **read}
            else:
                changes[name] = _decoded(name, _as_in_toml(value), base, declared)
        except ValueError as error:
            raise ConfigError(f"{name} is {value!r}, but takes {error}") from None
    return msgspec.structs.replace(config, tables=tables, **changes)


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
            names = (variable(table, key), *([_PREFIX + key.upper()] if setting.about.alone else []))
            name = next((name for name in names if environment.get(name)), "")
            if setting.is_table or not name:
                continue
            try:
                found.setdefault(table, {})[setting.name] = setting.decode_text(environment[name])
            except ValueError as error:
                raise ConfigError(
                    f"{name} is {environment[name]!r}, but takes {error}", remedy=f"Correct or unset {name}."
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
    known = (*declared.alone, *declared.tables) if declared else ()
    for name, value in written.items():
        where = f"{path}:{_line(text, name)}"
        if name not in _NAMES and name not in known:
            if declared is None:  # whoever reads the settings of plugins, too, reports it
                continue
            names = ", ".join((*_NAMES, *known))
            raise ConfigError(f"{where}: there is no setting {name!r}", remedy=f"Known are: {names}.")
        try:
            if declared is None or name in _NAMES:
                values[name] = _decoded(name, value, path.parent, declared)
            else:
                table, read = _of_table(name, value, declared)
                tables[table] = {**tables.get(table, {}), **read}
        except ValueError as error:
            raise ConfigError(f"{where}: {name} is {value!r}, but takes {error}", remedy="Correct that line.") from None
    return Config(**values, tables=tables)


def _decoded(name: str, value: Any, base: Path, declared: Declared | None) -> Any:
    """The value of a setting, from a file, a variable or a program; relative paths count from ``base``.

    Raises:
        ValueError: it is not what the setting takes; its message is what it takes.
        KeyError: there is no such setting.
    """
    setting = next((one for one in fields_of(Config) if one.name == name), None)
    if setting is None:
        raise KeyError(name)
    if declared is not None and name in ("backend", "store"):
        known = declared.backends if name == "backend" else declared.stores
        if value not in known:
            raise ValueError(f"one of: {', '.join(known)}")
    decoded = setting.decode_text(value) if isinstance(value, str) else setting.decode(value)
    return base / decoded if isinstance(decoded, Path) else decoded


def _of_table(name: str, value: Any, declared: Declared) -> tuple[str, dict[str, Any]]:
    """A plugin's table and the settings in it that a name stands for: the table's, or that of a setting alone."""
    table = declared.alone.get(name)
    if table is None:
        return name, _table(name, value, declared.tables[name])
    setting = declared.tables[table][name]
    return table, {setting.name: setting.decode(value)}


def _table(name: str, value: Any, known: Mapping[str, Field]) -> dict[str, Any]:
    """The settings of a plugin's table by the fields of its class."""
    if not isinstance(value, dict):
        raise ValueError(f"a table of settings: [{name}]")  # noqa: TRY004  it becomes a ConfigError
    values: dict[str, Any] = {}
    for key, setting in value.items():
        if key not in known:
            raise ValueError(f"only {', '.join(known)}")
        try:
            values[known[key].name] = known[key].decode(setting)
        except ValueError as error:
            raise ValueError(f"as {key} {error}") from None
    return values


def _line(text: str, name: str) -> int:
    wanted = re.compile(rf"""\s*\[*\s*["']?{re.escape(name)}["']?\s*[]=.]""")
    return next((number for number, line in enumerate(text.splitlines(), 1) if wanted.match(line)), 1)


def from_environment() -> Config:
    """The settings as this process finds them; raises as :func:`load`."""
    return load(os.environ)
