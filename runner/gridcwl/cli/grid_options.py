"""The options that say where jobs run, and how they are treated there."""

from __future__ import annotations

import argparse

from gridcwl import plugins
from gridcwl.cli import plugin_options
from gridcwl.config import Config
from gridcwl.errors import ConfigError
from gridcwl.runs.options import GridOptions


def add_grid(group: argparse._ArgumentGroup) -> None:
    """Add the options."""
    backends = plugins.backends()
    names = "; ".join(f"{plugin.name}: {plugin.summary}" for plugin in backends.values())
    group.add_argument("--backend", choices=tuple(backends), help=f"where jobs run (default: local); {names}")
    plugin_options.add(group, backends.values())
    group.add_argument(
        "--submit-only",
        dest="detach",
        action="store_true",
        help="submit ready jobs and exit; gridcwl attach submits the others",
    )


def is_pack(text: str) -> bool:
    """Whether a word behind ``--pack`` belongs to it: alone it is cwltool's option."""
    return text == "auto" or text.isdigit()


def read(given: argparse.Namespace, config: Config) -> GridOptions:
    """The options of a command line, over those of the configuration.

    Raises:
        ConfigError: a file that an option names cannot be read or is wrong, or options contradict each other.
    """
    name = given.backend or config.backend or "local"
    plugin = plugins.backend(name)
    for other in plugins.backends().values():
        option, _, word = other.local_option.partition(" ")
        if other is not plugin and option and getattr(given, option.lstrip("-").replace("-", "_"), None) == word:
            raise ConfigError(
                f"{other.local_option} is not for --backend {name}", remedy=f"Give --backend {other.name}, too."
            )
    options = GridOptions(name, plugin_options.read(plugin, given, config), given.detach)
    if options.is_local_mode and given.detach:
        raise ConfigError(
            f"Jobs with --backend {name} {plugin.local_option} end with gridcwl, so --submit-only would lose them",
            remedy=f"Use --detach, or omit {plugin.local_option}.",
        )
    return options


def pack(text: str) -> int | str:
    """How many shards go into one job, for argparse."""
    if text == "auto":
        return text
    number = int(text)
    if number < 1:
        raise argparse.ArgumentTypeError("must be at least 1, or auto")
    return number
