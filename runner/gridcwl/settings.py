"""Settings of plugins, each declared once, as a field of a class: its type, its default, its option and its help.

    class ToySettings(msgspec.Struct, frozen=True, kw_only=True):
        workers: Annotated[Annotated[int, msgspec.Meta(ge=1)], Setting("jobs at a time", option="--toy-workers")] = 2

The configuration's table, the environment variables, the options of the command line and their reference page are
derived from such a class. No other copy of a setting exists.
"""

from __future__ import annotations

import functools
import re
from collections.abc import Callable, Mapping
from pathlib import Path
from types import NoneType, UnionType
from typing import Annotated, Any, Literal, Union, get_args, get_origin, get_type_hints

import msgspec

_YES = {"1": True, "true": True, "yes": True, "on": True, "0": False, "false": False, "no": False, "off": False}


class NoSettings(msgspec.Struct, frozen=True):
    """Settings of a plugin that has none."""


class Setting(msgspec.Struct, frozen=True):
    """What is declared of a setting, in addition to its type and its default. The default holds if nobody sets it."""

    help: str
    option: str = ""
    """Of the command line, as ``--toy-workers``; empty if there is none."""
    off: str = ""
    """The option that switches it off again, whatever the configuration says; of one that takes true or false."""
    metavar: str = ""
    """What stands for the value in the help."""
    key: str = ""
    """Its name in the table, and, in capitals, at the end of its variable; empty: the field's name."""
    dest: str = ""
    """Where argparse puts the option's value; empty: the option's name."""
    takes: str = ""
    """What it takes, for messages: "a number greater than 0"; empty: derived from the type."""
    adds: bool = False
    """Values of the command line are added to those of the configuration; otherwise they replace them."""
    alone: bool = False
    """It may also stand outside the table, by its name: as a setting did before the table existed."""
    configurable: bool = True
    """It may stand in the configuration's table; otherwise it holds for one run only."""
    read: Callable[[str], Any] | None = None
    """Turns the option's text into the value, if the text is the name of a file, say."""
    separator: str = r"[,\s]+"
    """Between the words of a list that is written as one text: a regular expression."""
    check: Callable[[Any], Any] | None = None
    """Takes the decoded value, returns it as it is kept; raises ValueError if it is not what the setting takes."""


class Field(msgspec.Struct, frozen=True):
    """One setting of a class."""

    name: str
    type: Any
    default: Any
    about: Setting

    @property
    def key(self) -> str:
        """Its name in the configuration's table."""
        return self.about.key or self.name

    @property
    def dest(self) -> str:
        """Where argparse puts the option's value."""
        return self.about.dest or self.about.option.lstrip("-").replace("-", "_")

    @property
    def takes(self) -> str:
        """What it takes, for messages."""
        return self.about.takes or _takes(self.type)

    @property
    def words(self) -> tuple[str, ...]:
        """The words that it takes, if it takes no other."""
        kinds = [kind for kind in _kinds(self.type) if kind is not NoneType]
        return get_args(kinds[0]) if len(kinds) == 1 and get_origin(kinds[0]) is Literal else ()

    @property
    def is_list(self) -> bool:
        """Whether it takes several words."""
        return any(get_origin(kind) is tuple for kind in _kinds(self.type))

    @property
    def number(self) -> type[int] | type[float] | None:
        """The kind of number that it takes, if it takes any."""
        kinds = _kinds(self.type)
        return int if int in kinds else float if float in kinds else None

    @property
    def is_table(self) -> bool:
        """Whether it takes a table, which neither a variable nor an option can hold."""
        return any(get_origin(kind) not in (None, tuple, Literal) for kind in _kinds(self.type))

    @property
    def is_switch(self) -> bool:
        """Whether it takes true or false."""
        return bool in _kinds(self.type)

    def decode(self, value: Any) -> Any:
        """The value of a TOML file.

        Raises:
            ValueError: it is not what the setting takes.
        """
        if isinstance(value, dict):  # one word may stand for a list of one
            value = {name: [item] if isinstance(item, str) else item for name, item in value.items()}
        try:
            decoded = msgspec.convert(value, self.type, dec_hook=_path)
            return self.about.check(decoded) if self.about.check else decoded
        except ValueError:  # msgspec.ValidationError is one
            raise ValueError(self.takes) from None

    def decode_text(self, text: str) -> Any:
        """The value of an environment variable or an option, which are text.

        Raises:
            ValueError: it is not what the setting takes.
        """
        kinds = _kinds(self.type)
        value: Any = text
        if bool in kinds:
            value = _YES.get(text.lower(), text)
        elif int in kinds and re.fullmatch(r"-?\d{1,9}", text):
            value = int(text)
        elif float in kinds and re.fullmatch(r"-?\d{1,9}(\.\d*)?", text):
            value = float(text)
        elif self.is_list:
            value = [word for word in re.split(self.about.separator, text) if word.strip()]
        return self.decode(value)


class Declared(msgspec.Struct, frozen=True):
    """What plugins add to the configuration."""

    backends: tuple[str, ...] = ()
    stores: tuple[str, ...] = ()
    tables: Mapping[str, Mapping[str, Field]] = msgspec.field(default_factory=dict)
    """By table and by the name in it."""

    @property
    def alone(self) -> dict[str, str]:
        """Settings that may also stand outside their table: their names, and the table."""
        return {key: table for table, known in self.tables.items() for key, one in known.items() if one.about.alone}


@functools.cache
def fields_of(settings: type) -> tuple[Field, ...]:
    """The settings that a class declares, in its order; fields without a :class:`Setting` are left out."""
    hints, defaults = get_type_hints(settings, include_extras=True), settings()
    found = []
    for name in getattr(settings, "__struct_fields__", ()):
        about = [word for word in get_args(hints[name])[1:] if isinstance(word, Setting)]
        if about:
            found.append(Field(name, hints[name], getattr(defaults, name), about[0]))
    return tuple(found)


def variable(table: str, key: str) -> str:
    """The environment variable of a setting."""
    return f"GRIDCWL_{table}_{key}".upper().replace("-", "_")


def reference(table: str, settings: Mapping[str, Field]) -> str:
    """The table of a reference page in Markdown: a line for each setting, by its name in the configuration's table."""
    lines = ["| in the file | variable | option | takes | |", "|---|---|---|---|---|"]
    for key, setting in settings.items():
        option = ", ".join(f"`{word}`" for word in (setting.about.option, setting.about.off) if word)
        name = "" if setting.is_table else f"`{variable(table, key)}`"
        words = (f"`{key}`", name, option, setting.takes, setting.about.help)
        lines.append(f"| {' | '.join(words)} |".replace("|  |", "| |"))
    return "\n".join(lines)


def _path(_kind: type, value: Any) -> Path:
    """A path, the only type of a setting that msgspec does not know."""
    if not isinstance(value, str) or not value:
        raise ValueError("no path")
    return Path(value).expanduser()


def _kinds(kind: Any) -> list[Any]:
    """The types of a union, without what is annotated."""
    if get_origin(kind) is Annotated:
        return _kinds(get_args(kind)[0])
    if get_origin(kind) in (Union, UnionType):
        return [one for part in get_args(kind) for one in _kinds(part)]
    return [kind]


def _bounds(kind: Any) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for part in get_args(kind):
        if isinstance(part, msgspec.Meta):
            found |= {name: value for name in ("ge", "gt") if (value := getattr(part, name)) is not None}
        elif get_origin(part) in (Annotated, Union, UnionType):
            found |= _bounds(part)
    return found


def _takes(kind: Any) -> str:
    kinds, bounds = _kinds(kind), _bounds(kind)
    words = [word for one in kinds if get_origin(one) is Literal for word in get_args(one)]
    parts = []
    if int in kinds:
        parts.append("a whole number" + (f", at least {bounds['ge']}" if "ge" in bounds else ""))
    if float in kinds:
        parts.append("a number" + (f" greater than {bounds['gt']}" if "gt" in bounds else ""))
    if bool in kinds:
        parts.append("true or false")
    if str in kinds:
        parts.append("a text")
    if any(get_origin(one) is tuple for one in kinds):
        parts.append("a list of words")
    if any(get_origin(one) not in (None, tuple, Literal) for one in kinds):
        parts.append("a table: NAME = [WORD, ...]")
    if words:
        parts.append(f"one of: {', '.join(words)}" if not parts else ", ".join(words))
    return ", or ".join(parts)
