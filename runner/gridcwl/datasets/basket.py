"""Baskets from Python: ``gridcwl.basket()``, and what becomes of their items as a document's inputs."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from gridcwl.datasets import zooniverse
from gridcwl.datasets.esap import Esap
from gridcwl.datasets.items import ZOONIVERSE, Item
from gridcwl.datasets.rules import Mapped, Port, Rule, mapped, read_rules, usual_rules
from gridcwl.errors import ConfigError, StoreError
from gridcwl.model.objects import entries
from gridcwl.worker.paths import file_url


@dataclass(frozen=True, slots=True)
class Basket:
    """Items that were found elsewhere.

    Attributes:
        items: in their order.
        unknown: what in an ESAP basket is no item: its place, and why.
    """

    items: tuple[Item, ...]
    unknown: tuple[tuple[int, str], ...] = ()

    def only(self, *archives: str) -> Basket:
        """The items of these archives."""
        return Basket(tuple(item for item in self.items if item.archive in archives), ())

    def rules(self, document: str | Path) -> list[dict[str, Any]]:
        """The usual mapping rules for a document, to be changed and given to :meth:`inputs`.

        Raises:
            DocumentError: the document is not valid.
        """
        return [rule.plain() for rule in usual_rules(ports_of(str(document)))]

    def map(self, document: str | Path, rules: Any = None, *, folder: str | Path | None = None) -> Mapped:
        """The items as inputs of a document, and the items that do not fit with the reason.

        Args:
            document: a path or URL.
            rules: as :meth:`rules` gives them; None for those.
            folder: for exports that are downloaded, as Zooniverse's; None for the current folder.

        Raises:
            ConfigError: a rule means nothing, or a package is missing.
            DocumentError: the document is not valid.
        """
        ports = ports_of(str(document))
        chosen: Sequence[Rule] = usual_rules(ports) if rules is None else read_rules(_plain(rules), ports)
        found = mapped(self.items, chosen, ports)
        files, missing = self._exports(found, Path(folder or "."))
        if missing:
            without = {id(item) for item, _ in missing}
            found = mapped([item for item in self.items if id(item) not in without], chosen, ports)
        inputs = zooniverse.replaced(found.inputs, lambda record: files[zooniverse.wanted(record).file])
        problems = sorted([*found.problems, *missing], key=lambda problem: problem[0].number)
        return replace(found, inputs=inputs, problems=problems)

    def _exports(self, found: Mapped, folder: Path) -> tuple[dict[str, str], list[tuple[Item, str]]]:
        """The URLs of exports that are inputs, by the names of their files; and items whose export is not given."""
        files: dict[str, str] = {}
        missing: list[tuple[Item, str]] = []
        used = [item for items in found.used.values() for item in items if item.archive == ZOONIVERSE]
        for item in used:
            try:
                path = zooniverse.export(item.record, folder)
            except StoreError as error:
                missing.append((item, error.message))
            else:
                files[path.name] = file_url(str(path))
        return files, missing

    def inputs(self, document: str | Path, rules: Any = None, *, folder: str | Path | None = None) -> dict[str, Any]:
        """The input object of :meth:`map`.

        Raises:
            ConfigError: an item does not fit; or as :meth:`map`.
        """
        found = self.map(document, rules, folder=folder)
        if found.problems:
            item, reason = found.problems[0]
            more = f", and {len(found.problems) - 1} others" if len(found.problems) > 1 else ""
            raise ConfigError(
                f"{item.name} ({item.archive}) does not become an input: {reason}{more}",
                remedy="Change the rules, or use map(), which reports the items that do not fit.",
            )
        return found.inputs


def basket(host: str = "", *, token: str = "", archives: Iterable[str] = ()) -> Basket:
    """The user's ESAP shopping basket.

    Args:
        host: the gateway's URL; empty for ``$ESAP_HOST``.
        token: empty to look where ESAP's own client looks: JupyterHub, the file that ``RUCIO_OIDC_FILE_NAME`` names.
        archives: only items of these; empty for all.

    Raises:
        ConfigError: no token was found, or it is refused.
        StoreError: the gateway does not answer.
    """
    items, wrong = Esap(host, token, ask=True).basket()
    whole = Basket(tuple(items), tuple(wrong))
    wanted = tuple(archives)
    return whole.only(*wanted) if wanted else whole


def ports_of(document: str) -> list[Port]:
    """The inputs of a document.

    Raises:
        DocumentError: it is not valid.
    """
    from gridcwl.cwl.context import EvaluationOptions
    from gridcwl.cwl.grouped import shortname, takes_list, type_of
    from gridcwl.cwl.load import load, locate

    uri, _ = locate(document)
    process = load(uri, EvaluationOptions(only_check=True)).process
    names = [shortname(one["id"]) for one in process.tool["inputs"]]
    return [Port(name, _kind(type_of(process, name)), takes_list(type_of(process, name))) for name in names]


def _kind(written: Any) -> str:
    """The type of one value: that of the items of a list, without null."""
    if isinstance(written, list):
        kinds = [_kind(one) for one in written if one != "null"]
        return next((kind for kind in kinds if kind in ("File", "Directory")), kinds[0] if kinds else "Any")
    if isinstance(written, Mapping):
        return _kind(written["items"]) if written.get("type") == "array" else str(written.get("type", "Any"))
    return str(written)


def _plain(rules: Any) -> Any:
    return [rule.plain() if isinstance(rule, Rule) else rule for rule in rules] if isinstance(rules, list) else rules


def outputs_as_items(folder: Any) -> tuple[list[Item], list[str]]:
    """The outputs of a run as items of a basket, and the names of those that only this machine has.

    Args:
        folder: the run's.
    """
    from gridcwl.runs.record.history import History

    with closing(History(folder.journal)) as history:
        outputs = history.meta("outputs") or {}
        about = history.meta("rucio") or {}
    items: dict[str, Item] = {}
    for did in about.get("outputs", ()):
        scope, _, name = str(did).partition(":")
        items[did] = Item("rucio", {"scope": scope, "name": name, "type": "DATASET"})
    local = []
    for output, value in outputs.items():
        for file in entries(value, "File"):
            location = str(file.get("location", ""))
            if location.startswith("rucio://") and not about.get("outputs"):
                items[location] = item_of_did(location)
            elif not location.startswith("rucio://") and not about.get("outputs"):
                local.append(f"{output}: {file.get('basename') or location}")
    return list(items.values()), local


def item_of_did(text: str) -> Item:
    """A DID as an item: ``rucio://SCOPE/NAME`` or ``SCOPE:NAME``; or a URL as a file of the web.

    Raises:
        ConfigError: it is neither.
    """
    from urllib.parse import unquote, urlsplit

    from gridcwl import plugins

    parts = urlsplit(text)
    if parts.scheme == "rucio" and parts.netloc and parts.path.strip("/"):
        return Item("rucio", {"scope": parts.netloc, "name": unquote(parts.path[1:]), "type": "FILE"})
    if parts.scheme in ("https", "http") and parts.netloc:
        return Item("gridcwl", {"name": parts.path.rpartition("/")[2] or parts.netloc, "url": text})
    if plugins.store_of_name(text):
        scope, _, name = text.partition(":")
        return Item("rucio", {"scope": scope, "name": name, "type": "FILE"})
    raise ConfigError(f"{text} is no run, no DID and no URL", remedy="Write SCOPE:NAME, rucio://SCOPE/NAME or a URL.")


__all__ = ["Basket", "basket", "item_of_did", "outputs_as_items", "ports_of"]
