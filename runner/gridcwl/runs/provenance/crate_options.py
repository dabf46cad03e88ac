"""How a crate is written, and whether it can be: its options, its target and the ORCID of who is responsible."""

from __future__ import annotations

import json
import re
import zipfile
from dataclasses import dataclass
from pathlib import Path

from gridcwl.errors import ConfigError
from gridcwl.runs.options import CwltoolOptions
from gridcwl.runs.provenance.actions import action_id
from gridcwl.runs.provenance.payload import How

METADATA = "ro-crate-metadata.json"


@dataclass(frozen=True, slots=True)
class CrateOptions:
    """How a crate is written."""

    data: How = "auto"
    limit: int = 100 << 20
    """Bytes: a larger file is referred to."""
    orcid: str = ""
    full_name: str = ""
    license: str = "notspecified"
    user: bool = True
    """Name the user's account, if there is neither an ORCID nor a full name."""
    host: bool = True
    """Name the machines where jobs ran."""
    again: bool = False
    """Replace a crate of the same run."""
    removed: Path | None = None
    """A folder that is removed afterwards: nothing in it is referred to."""


def options_of(options: CwltoolOptions) -> CrateOptions:
    """How the crate of a run is written, by the run's options."""
    limit = CrateOptions().limit if options.crate_limit is None else options.crate_limit
    return CrateOptions(
        options.crate_data, limit, options.orcid, options.full_name,
        user=options.user_provenance, host=options.host_provenance,
    )  # fmt: skip


def check_target(target: Path, run: str = "") -> None:
    """See that a crate can be written there.

    Args:
        target: the folder or file.
        run: a crate of this run may be replaced.

    Raises:
        ConfigError: something else is there.
    """
    if run and _run_in(target) == run:
        return
    if target.suffix == ".zip":
        if target.exists():
            raise ConfigError(f"{target} exists", remedy="Choose another name for the crate, or remove the file.")
    elif target.exists() and (not target.is_dir() or any(target.iterdir())):
        raise ConfigError(f"{target} exists and is not an empty folder", remedy="Choose another folder for the crate.")


def _run_in(target: Path) -> str:
    """The run whose crate is there, if there is one."""
    try:
        if target.is_dir():
            text = (target / METADATA).read_text(encoding="utf-8")
        else:
            with zipfile.ZipFile(target) as archive:
                text = archive.read(METADATA).decode()
        graph = json.loads(text)["@graph"]
        return next(str(one.get("identifier")) for one in graph if one.get("@id") == action_id(""))
    except (OSError, ValueError, KeyError, TypeError, AttributeError, StopIteration, zipfile.BadZipFile):
        return ""


def check_orcid(orcid: str) -> str:
    """An ORCID as a URL.

    Raises:
        ConfigError: it is none.
    """
    digits = orcid.removeprefix("https://orcid.org/").removeprefix("http://orcid.org/")
    if not re.fullmatch(r"(\d{4}-){3}\d{3}[\dX]", digits):
        raise ConfigError(f"{orcid} is no ORCID", remedy="Write it as 0000-0002-1825-0097.")
    total = 0
    for digit in digits.replace("-", "")[:-1]:
        total = (total + int(digit)) * 2
    check = (12 - total % 11) % 11
    if digits[-1] != ("X" if check == 10 else str(check)):
        raise ConfigError(f"{orcid} is no ORCID: its check digit is wrong", remedy="Compare it with your ORCID record.")
    return f"https://orcid.org/{digits}"
