"""The options that say where files live between jobs, and how Rucio is used."""

from __future__ import annotations

import argparse
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields
from typing import TYPE_CHECKING, Any, Literal

from gridcwl import imports
from gridcwl.config import Config
from gridcwl.stores.rucio.settings import RucioSettings

if TYPE_CHECKING:
    from gridcwl.runs.carriage import RucioPlace

Store = Literal["local", "rucio"]


@dataclass(frozen=True, slots=True)
class StoreOptions:
    """What the user asked for, with what is configured."""

    store: Store = "local"
    rucio: RucioSettings = field(default_factory=RucioSettings)
    """How Rucio is used, if it is."""

    def plain(self) -> dict[str, Any]:
        """For the journal."""
        return {"store": self.store, **asdict(self.rucio)}


def from_plain(saved: Mapping[str, Any]) -> StoreOptions:
    """What :meth:`StoreOptions.plain` gave, after a journey through JSON; unknown fields are left out."""
    known = {entry.name for entry in fields(RucioSettings)}
    settings = {name: value for name, value in saved.items() if name in known}
    return StoreOptions(saved.get("store", "local"), _settings(**settings))


def _settings(**given: Any) -> RucioSettings:
    """Lists become tuples: the settings of a run do not change."""
    given["cache_scopes"] = tuple(given.get("cache_scopes") or ())
    given["sites"] = {site: tuple(names) for site, names in (given.get("sites") or {}).items()}
    return RucioSettings(**given)


def add_store(group: argparse._ArgumentGroup) -> None:
    """Add the options."""
    group.add_argument("--store", choices=("local", "rucio"), help="where files live between jobs (default: local)")
    group.add_argument("--rucio-scope", metavar="SCOPE", help="outputs go there (default: user.ACCOUNT)")
    group.add_argument("--rucio-name", metavar="TEMPLATE", help="how names begin (default: {run}/{step})")
    group.add_argument("--rucio-rse", metavar="EXPRESSION", help="jobs leave outputs on these storage elements")
    group.add_argument("--lifetime", type=_days, metavar="DAYS", help="how long final outputs are kept (default: ever)")
    group.add_argument("--copies", type=_copies, metavar="N", help="of final outputs (default: 1)")
    group.add_argument("--rse-expression", metavar="EXPRESSION", help="where final outputs are kept (default: there)")
    group.add_argument("--output-dataset", metavar="SCOPE:NAME", help="one dataset for all final files")
    group.add_argument(
        "--no-download", dest="download", action="store_false", default=None, help="leave final outputs in Rucio only"
    )


def read(given: argparse.Namespace, config: Config) -> StoreOptions:
    """The options of a command line, over those of the configuration."""
    ours, rucio = RucioSettings(), config.rucio
    settings = _settings(
        scope=given.rucio_scope or rucio.scope or "",
        name=given.rucio_name or rucio.name or ours.name,
        elements=given.rucio_rse or rucio.rse or "",
        sites=rucio.sites,
        site=rucio.site or "",
        keep_days=_first(rucio.keep_days, ours.keep_days),
        lifetime_days=_first(given.lifetime, rucio.lifetime, None),
        copies=_first(given.copies, rucio.copies, ours.copies),
        rse_expression=given.rse_expression or rucio.rse_expression or "",
        output_dataset=given.output_dataset or "",
        download=_first(given.download, rucio.download, ours.download),
        cache=bool(given.cache_in_rucio),
        cache_scopes=rucio.cache_scopes,
    )
    return StoreOptions(given.store or config.store or "local", settings)


def open_place(options: StoreOptions, known: Mapping[str, Any] | None = None) -> RucioPlace | None:
    """Rucio, if it is what was chosen. Nothing is asked yet.

    Args:
        options: the user's.
        known: what an earlier session of the run found.

    Raises:
        ConfigError: the options do not fit each other.
    """
    if options.store != "rucio":
        return None
    imports.require("rucio", "--store rucio")
    from gridcwl.runs.carriage import RucioPlace
    from gridcwl.stores.rucio.asking import Asking
    from gridcwl.stores.rucio.client import RucioClient
    from gridcwl.stores.rucio.names import check_template, chosen_dataset

    settings = options.rucio
    check_template(settings.name)
    if settings.output_dataset:
        chosen_dataset(settings.output_dataset)
    client = RucioClient()
    return RucioPlace(client, settings, Asking(client, settings.scope, known))


def _first(*values: Any) -> Any:
    return next((value for value in values if value is not None), None)


def _days(text: str) -> float:
    days = float(text)
    if not days > 0:
        raise argparse.ArgumentTypeError("must be more than 0")
    return days


def _copies(text: str) -> int:
    number = int(text)
    if number < 1:
        raise argparse.ArgumentTypeError("must be at least 1")
    return number
