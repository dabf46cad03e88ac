"""What a document's own hints and the options for groups make of a run: its inputs, groups and places of outputs."""

from __future__ import annotations

import importlib.metadata
import inspect
import logging
import tempfile
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec

from gridcwl.cwl.dirac_hints import PRODUCTION, DocumentHints, document_hints, ignored
from gridcwl.cwl.grouped import input_to_group, shortname, takes_list, type_of, values_to_group, with_groups
from gridcwl.cwl.inputs import optional, read_input_object
from gridcwl.cwl.step_groups import ignored_groups
from gridcwl.errors import ConfigError, InputError
from gridcwl.model import confinement
from gridcwl.model.grouping import Grouping, grouped
from gridcwl.model.paths import file_path
from gridcwl.runs.from_options import evaluation
from gridcwl.runs.options import Options

if TYPE_CHECKING:
    from gridcwl.cwl.session import CwlSession
    from gridcwl.stores.base import RunStore

log = logging.getLogger("gridcwl")

PLUGINS = ("gridcwl.datasets", "dirac_cwl.input_dataset_plugins")
"""Groups of entry points where dataset plug-ins are found: gridcwl's, and that of dirac-cwl."""


def with_routes(options: Options, session: CwlSession) -> Options:
    """The options with the datasets and storage elements that the document's hints name; the user's go first."""
    settings = options.store.settings
    if not hasattr(settings, "output_paths"):
        return options
    hints = document_hints(session.document.process)
    changes: dict[str, Any] = {
        "output_paths": {name: route.path for name, route in hints.routes.items() if route.path},
        "output_elements": {name: "|".join(route.elements) for name, route in hints.routes.items() if route.elements},
    }
    named = dict.fromkeys([*hints.elements, *(one for route in hints.routes.values() for one in route.elements)])
    if named and not settings.elements:
        changes["elements"] = "|".join(named)
    return replace(options, store=replace(options.store, settings=msgspec.structs.replace(settings, **changes)))


def remarks(options: Options, session: CwlSession) -> list[str]:
    """What the document's hints say that has no effect in this run, a sentence each."""
    rucio = hasattr(options.store.settings, "output_paths")
    process = session.document.process
    return [*ignored(process, rucio=rucio, sites=options.grid.plugin.remote), *dict.fromkeys(ignored_groups(process))]


def ask_for_inputs(options: Options, session: CwlSession, folder: Path) -> None:
    """Let ``dirac:Production`` and ``input_query`` give the inputs that the user does not give.

    Raises:
        ConfigError: the dataset plug-in is not installed.
        InputError: it fails, or gives what is no input.
    """
    hints = document_hints(session.document.process)
    if hints.plugin and _lacks_inputs(session):
        _put(session, _from_plugin(options, session, hints, folder))
    if hints.query:
        process = session.document.process
        name = input_to_group(process, hints.grouping.input if hints.grouping else "")
        kind = type_of(process, name)
        file = {"class": "File", "location": hints.query}
        _put(session, {name: [file] if takes_list(kind) else file})


def _lacks_inputs(session: CwlSession) -> bool:
    """Whether an input that has to be given is not."""
    return any(
        "default" not in one and not optional(one["type"]) and not _is_given(session, shortname(one["id"]))
        for one in session.document.process.tool["inputs"]
    )


def _is_given(session: CwlSession, name: str) -> bool:
    written = session.written
    return name in written.options or (written.values is not None and written.values.get(name) is not None)


def _put(session: CwlSession, found: Mapping[str, Any]) -> None:
    for name, value in found.items():
        if not _is_given(session, name):
            session.written.options[name] = value


def _from_plugin(options: Options, session: CwlSession, hints: DocumentHints, folder: Path) -> Mapping[str, Any]:
    if options.confinement is not None:
        raise ConfigError(
            f"The document's hint {PRODUCTION} names a dataset plug-in, which this service does not run",
            remedy="Give the input data as inputs.",
        )
    plugin = dataset_plugin(hints.plugin)
    document = Path(file_path(session.document.uri.partition("#")[0], "The document"))
    with tempfile.TemporaryDirectory(prefix="gridcwl-dataset-") as place:
        try:
            made = _called(plugin, document, dict(hints.plugin_config), Path(place))
        except Exception as error:
            raise InputError(
                f"The dataset plug-in {hints.plugin} failed: {error}",
                remedy="Check input_dataset_config of the hint dirac:Production, or give the inputs yourself.",
            ) from error
        if made is None:
            return {}
        if isinstance(made, str | Path):
            values = read_input_object(str(made), str(folder), session.document.uri).values
            made = dict(values or {})
    if not isinstance(made, Mapping):
        raise InputError(f"The dataset plug-in {hints.plugin} gives no inputs, but {type(made).__name__}")
    return {name: value for name, value in made.items() if not str(name).startswith(("__", "$"))}


def _called(plugin: Any, document: Path, config: dict[str, Any], place: Path) -> Any:
    """What a plug-in gives: a function's input object, or the file that a class of dirac-cwl's kind writes."""
    if inspect.isclass(plugin):
        plugin = plugin()
    if hasattr(plugin, "generate_inputs"):
        inputs, _catalogue = plugin.generate_inputs(document, config, place)
        return inputs
    return plugin(document, config)


def dataset_plugin(name: str) -> Any:
    """The dataset plug-in of a name: that of its entry point, or of its class.

    Raises:
        ConfigError: it is not installed, or cannot be imported.
    """
    found = [one for group in PLUGINS for one in importlib.metadata.entry_points(group=group)]
    for entry in found:
        if name in (entry.name, entry.attr):
            try:
                return entry.load()
            except Exception as error:
                raise ConfigError(f"The dataset plug-in {name} ({entry.value}) cannot be loaded: {error}") from error
    known = ", ".join(sorted({entry.name for entry in found})) or "none"
    raise ConfigError(
        f"The hint {PRODUCTION} names the dataset plug-in {name}, which is not installed (installed: {known})",
        remedy=f"Install the package that has it, as an entry point of {PLUGINS[0]}; or give the inputs yourself.",
    )


def grouping_of(options: Options, session: CwlSession) -> Grouping | None:
    """How inputs are grouped: by the user's options, else by the document's hint."""
    if options.grouping is not None:
        return options.grouping
    hint = document_hints(session.document.process).grouping
    if hint is None:
        return None
    balance: Any = hint.balance
    return Grouping(hint.input, hint.size, hint.chunks, balance)


def completed(
    options: Options,
    session: CwlSession,
    store: RunStore | None,
    complete: Callable[[CwlSession], dict[str, Any]] = lambda session: session.inputs(),
) -> tuple[CwlSession, dict[str, Any]]:
    """The session and its whole input object, as they run: once for each group, if there are groups.

    Args:
        options: of the run.
        session: with the document.
        store: in which input files may be.
        complete: gives the input object of a session.

    Raises:
        InputError: inputs are missing or wrong, or one cannot be grouped.
    """
    how = grouping_of(options, session)
    if how is None:
        return session, complete(session)
    name = input_to_group(session.document.process, how.input)
    if takes_list(type_of(session.document.process, name)):
        inputs = complete(session)
        groups = _groups(inputs.get(name), how, name, store)
        return _around(options, session, name), {**inputs, name: groups}
    if not _is_given(session, name):
        values_to_group(None, name)
    written: list[Any] = [session.written.options, session.written.values or {}]
    for values in written:
        if values.get(name) is not None and not isinstance(values[name], list):
            values[name] = [values[name]]
    around = _around(options, session, name)
    inputs = complete(around)
    groups = _groups(inputs.get(name), how, name, store)
    if any(len(group) > 1 for group in groups):
        raise InputError(
            f"The input '{name}' takes one value, so that a group cannot have several",
            remedy=f"Use --group {name}=1.",
        )
    return around, {**inputs, name: [group[0] for group in groups]}


def _groups(value: Any, how: Grouping, name: str, store: RunStore | None) -> list[Any]:
    items = values_to_group(value, name)
    groups = grouped(items, how, _events(items, how, store), name=name)
    log.info("%s: %d values in %d groups", name, len(items), len(groups))
    return groups


def _around(options: Options, session: CwlSession, name: str) -> CwlSession:
    folder = options.cache_dir / "grouped"
    allowed = options.confinement
    confinement.confine(None if allowed is None else allowed.also(str(folder)))
    try:
        return with_groups(session, name, evaluation(options), folder)
    finally:
        confinement.confine(allowed)


def _events(items: Any, how: Grouping, store: RunStore | None) -> Mapping[str, int]:
    """The numbers of events that the store knows of its files."""
    if how.balance != "events" or store is None or store.files is None:
        return {}
    ask = getattr(store.files, "events", None)
    urls = [str(item.get("location", "")) for item in items if isinstance(item, dict)]
    return ask(urls) if ask is not None else {}
