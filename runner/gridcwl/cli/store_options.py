"""The options that say where files live between jobs, and how Rucio is used."""

from __future__ import annotations

import argparse
from typing import Any

from gridcwl.config import Config
from gridcwl.runs.options import StoreOptions, rucio_settings
from gridcwl.stores.rucio.settings import RucioSettings


def add_store(group: argparse._ArgumentGroup) -> None:
    """Add the options."""
    group.add_argument(
        "--store", choices=("local", "rucio"), help="where files are stored between jobs (default: local)"
    )
    group.add_argument("--rucio-scope", metavar="SCOPE", help="scope of outputs (default: user.ACCOUNT)")
    group.add_argument("--rucio-name", metavar="TEMPLATE", help="prefix of names (default: {run}/{step})")
    group.add_argument("--rucio-rse", metavar="EXPRESSION", help="storage elements to which jobs write outputs")
    group.add_argument("--lifetime", type=_days, metavar="DAYS", help="days to keep final outputs (default: forever)")
    group.add_argument("--copies", type=_copies, metavar="N", help="copies of final outputs (default: 1)")
    group.add_argument(
        "--rse-expression",
        metavar="EXPRESSION",
        help="storage elements that keep final outputs (default: those of --rucio-rse)",
    )
    group.add_argument("--output-dataset", metavar="SCOPE:NAME", help="dataset to which all final files are added")
    group.add_argument(
        "--no-download",
        dest="download",
        action="store_false",
        default=None,
        help="leave final outputs in Rucio, do not download them",
    )


def read(given: argparse.Namespace, config: Config) -> StoreOptions:
    """The options of a command line, over those of the configuration."""
    ours, rucio = RucioSettings(), config.rucio
    settings = rucio_settings(
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
