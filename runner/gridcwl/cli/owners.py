"""Which backend or store reads which option: one that nothing reads is a mistake of whoever typed it."""

from __future__ import annotations

import functools
from collections.abc import Iterator, Sequence
from typing import NamedTuple

from gridcwl import plugins
from gridcwl.backends.base import BackendPlugin
from gridcwl.cli.parsing import OptionalWord, Parser
from gridcwl.errors import UsageError
from gridcwl.settings import fields_of
from gridcwl.stores.base import StorePlugin


class OptionOwner(NamedTuple):
    """Who reads some options."""

    option: str
    """``--backend`` or ``--store``."""
    values: tuple[str, ...]
    """Of that option; ``NAME-local`` is the local mode of a backend."""
    fields: frozenset[str]


@functools.cache
def owners() -> tuple[OptionOwner, ...]:
    """Options that only some backends or stores read; all others are read whatever the backend and the store."""
    backends, stores = plugins.backends().values(), plugins.stores().values()
    modes = [plugin for plugin in backends if plugin.local_option]
    own: dict[str, list[str]] = {}
    for plugin in backends:
        for field in {*plugin.reads, *_dests(plugin)} | ({"detach"} if plugin.remote else set()):
            own.setdefault(field, []).append(plugin.name)
    for plugin in modes:
        for field in {*plugin.local_reads, *_dests(plugin)}:
            own.setdefault(field, []).append(f"{plugin.name}-local")
    found = [OptionOwner("--backend", tuple(names), frozenset({field})) for field, names in own.items()]
    for store in stores:
        found.append(OptionOwner("--store", (store.name,), frozenset({*store.reads, *_dests(store)})))
    return tuple(found)


def _dests(plugin: BackendPlugin | StorePlugin) -> Iterator[str]:
    return (setting.dest for setting in fields_of(plugin.settings) if setting.about.option)


def check(parser: Parser, words: Sequence[str], *, backend: str, store: str) -> None:
    """Refuse options that nothing reads.

    Args:
        parser: of the words.
        words: the options as they were typed.
        backend: the one that is used; ``NAME-local`` in its local mode.
        store: the one that is used.

    Raises:
        UsageError: one is for another backend or store.
    """
    used = {"--backend": backend, "--store": store}
    for word in words:
        action = parser.action(word) if word.startswith("-") else None
        if action is None:
            continue
        name = action.alone[0] if isinstance(action, OptionalWord) and "=" not in word else action.dest
        for owner in owners():
            if name in owner.fields and used[owner.option] not in owner.values:
                raise _unread(word.partition("=")[0], owner, used[owner.option])


def _unread(name: str, owner: OptionOwner, used: str) -> UsageError:
    local = {f"{plugin.name}-local": plugin for plugin in plugins.backends().values() if plugin.local_option}
    names = [f"{owner.option} {value}" for value in owner.values if value not in local]
    now = f"{owner.option} {used}"
    if used in local:
        now = f"--backend {local[used].name} {local[used].local_option}"
    return UsageError(
        f"{name} requires {' or '.join(names)}; it has no effect with {now}",
        remedy=f"Add {names[0] if len(names) == 1 else 'one of these'}, or omit {name}.",
    )
