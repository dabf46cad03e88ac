"""The options of plugins: derived from their settings classes, and read over the configuration."""

from __future__ import annotations

import argparse
from collections.abc import Callable, Iterable
from typing import Any

from gridcwl import plugins
from gridcwl.backends.base import BackendPlugin
from gridcwl.config import Config
from gridcwl.errors import ConfigError
from gridcwl.settings import Field, fields_of
from gridcwl.stores.base import StorePlugin


def add(group: argparse._ArgumentGroup, found: Iterable[BackendPlugin | StorePlugin]) -> None:
    """Add the options of all settings; settings that several plugins share are added once.

    Raises:
        ConfigError: two plugins declare the same option.
    """
    added: dict[str, Field] = {}
    for plugin in found:
        for setting in fields_of(plugin.settings):
            option = setting.about.option
            if not option or added.get(option) == setting:
                continue
            try:
                _add(group, setting)
            except argparse.ArgumentError:
                raise ConfigError(
                    f"The plugin {plugin.name} declares the option {option}, which exists already",
                    remedy="Uninstall the plugin, or ask its authors for another name.",
                ) from None
            added[option] = setting


def _add(group: argparse._ArgumentGroup, setting: Field) -> None:
    about = setting.about
    given: dict[str, Any] = {"dest": setting.dest, "help": about.help.replace("%", "%%"), "default": None}
    if setting.is_switch:
        given |= {"action": "store_const", "const": not setting.default}
    elif setting.words:
        given["choices"] = setting.words
    else:
        given |= {"metavar": about.metavar or "VALUE", "type": str if about.read else _reader(setting)}
        if setting.is_list:
            given |= {"action": "append", "type": str}
    group.add_argument(about.option, **given)
    if about.off:
        given |= {"const": setting.default, "help": f"the opposite of {about.option}"}
        group.add_argument(about.off, **given)


def _reader(setting: Field) -> Callable[[str], Any]:
    def read(text: str) -> Any:
        try:
            return setting.decode_text(text)
        except ValueError as error:
            if (number := setting.number) is not None:
                number(text)  # what is no number is explained as everywhere
            raise argparse.ArgumentTypeError(f"takes {error}, not {text!r}") from None

    if (number := setting.number) is not None:
        read.__annotations__["return"] = number.__name__
    return read


def read(plugin: BackendPlugin | StorePlugin, given: argparse.Namespace, config: Config, **more: Any) -> Any:
    """The settings of a plugin: the command line over the configuration over the defaults.

    Args:
        plugin: whose settings.
        given: the options of the command line.
        config: the configuration.
        more: fields that no option of their own sets.

    Raises:
        ConfigError: a file that an option names cannot be read or is wrong.
    """
    configured = config.tables.get(plugin.table, {})
    typed: dict[str, Any] = {}
    for setting in fields_of(plugin.settings):
        value = getattr(given, setting.dest, None) if setting.about.option else None
        if value is None or value == "":
            continue
        if setting.about.read is not None:
            value = setting.about.read(value)
        elif setting.is_list:
            before = configured.get(setting.name, ()) if setting.about.adds else ()
            value = tuple(dict.fromkeys((*before, *value)))
        typed[setting.name] = value
    return plugins.configured(plugin, config, **typed, **more)
