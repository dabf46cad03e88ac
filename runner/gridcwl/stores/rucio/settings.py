"""Settings of the Rucio store. Rucio's own configuration, ``rucio.cfg``, says where Rucio is and who the user is."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated

import msgspec

from gridcwl.settings import Setting
from gridcwl.stores.base import StorePlugin

DAY_S = 86_400
SCHEME = "rucio"
"""Of the URLs of files in Rucio."""
SHORT_NAME = r"(?P<scope>[a-zA-Z_.0-9-]{1,25}):(?P<name>/?[A-Za-z0-9*][/A-Za-z0-9._*-]*)"
"""``scope:name``."""

_Text = Annotated[str, msgspec.Meta(min_length=1)]
_Days = Annotated[float, msgspec.Meta(gt=0)]


class RucioSettings(msgspec.Struct, frozen=True, kw_only=True):
    """How a run uses Rucio: the table ``[rucio]``."""

    scope: Annotated[
        _Text, Setting("scope of outputs (default: user.ACCOUNT)", option="--rucio-scope", metavar="SCOPE")
    ] = ""
    """Scope of outputs; empty: ``user.ACCOUNT``, or the account's only scope."""
    name: Annotated[
        _Text, Setting("prefix of names (default: {run}/{step})", option="--rucio-name", metavar="TEMPLATE")
    ] = "{run}/{step}"
    """How names begin; see ``names.Naming``."""
    elements: Annotated[
        _Text,
        Setting("storage elements to which jobs write outputs", option="--rucio-rse", metavar="EXPRESSION", key="rse"),
    ] = ""
    """An RSE expression: outputs are left on these; empty: wherever the account has a quota."""
    site: Annotated[_Text, Setting("the site of this machine")] = ""
    """Where this machine is."""
    sites: Annotated[
        Mapping[str, tuple[str, ...]],
        Setting(
            "by site: storage elements that its workers use first",
            takes='a table of lists: "LCG.CNAF.it" = ["CNAF-DISK"]',
        ),
    ] = {}
    """Sites to the elements that their workers use first, beside what the elements' attribute ``site`` says."""
    keep_days: Annotated[_Days, Setting("days to keep intermediate files after a run")] = 14
    """Days to keep intermediate files after the run."""
    lifetime_days: Annotated[
        _Days | None,
        Setting("days to keep final outputs (default: forever)", option="--lifetime", metavar="DAYS", key="lifetime"),
    ] = None
    """Days to keep final outputs; None is forever."""
    copies: Annotated[
        Annotated[int, msgspec.Meta(ge=1)],
        Setting("copies of final outputs (default: 1)", option="--copies", metavar="N"),
    ] = 1
    """Copies of final outputs."""
    rse_expression: Annotated[
        _Text,
        Setting(
            "storage elements that keep final outputs (default: those of --rucio-rse)",
            option="--rse-expression",
            metavar="EXPRESSION",
        ),
    ] = ""
    """Where final outputs are kept; empty: where they were made."""
    output_dataset: Annotated[
        _Text,
        Setting(
            "dataset to which all final files are added",
            option="--output-dataset",
            metavar="SCOPE:NAME",
        ),
    ] = ""
    """``scope:name`` of a dataset for all final files."""
    output_paths: Annotated[
        Mapping[str, str], Setting("datasets of single outputs, as the document's hints name them", configurable=False)
    ] = {}
    """By output: the folder of logical file names that the document's hint gives; the dataset is called so."""
    output_elements: Annotated[
        Mapping[str, str], Setting("storage elements of single outputs, likewise", configurable=False)
    ] = {}
    """By output: the RSE expression that keeps it."""
    download: Annotated[
        bool, Setting("leave final outputs in Rucio, do not download them", option="--no-download", dest="download")
    ] = True
    """Bring final outputs to the output directory, too."""
    cache: bool = False
    """Look for results among the outputs of others, and leave ours for them."""
    cache_scopes: Annotated[tuple[str, ...], Setting("further scopes that --cache rucio searches")] = ()
    """Where to look for results, beside the user's own scope."""


PLUGIN = StorePlugin(
    "rucio",
    "Rucio, also between sites",
    "gridcwl.stores.rucio.run_store",
    settings=RucioSettings,
    table="rucio",
    packages=("rucio",),
    reads=frozenset({"cache_in_store"}),
    hooks=frozenset(
        {"open_run_store", "report", "release", "origins", "check_files", "copy_files", "replicas", "collect", "health"}
    ),
    title="Rucio",
    schemes=frozenset({SCHEME, "lfn"}),
    prefixes=("rucio:", "lfn:"),
    short_names=SHORT_NAME,
    example="rucio://SCOPE/NAME or SCOPE:NAME",
    keeps=lambda settings: f"Rucio, {settings.scope or 'the scope of the account'}",
    downloads=lambda settings: bool(settings.download),
    between_jobs=True,
)
