"""Output objects as cwltest can look at them."""

from __future__ import annotations

from pathlib import Path
from typing import Any


def with_local_files(value: Any) -> Any:
    """The output object with the downloaded files in place of those in Rucio; cwltest looks at files of this machine.

    Whatever a job has made has to be in Rucio; only inputs that a document brought along are of this machine.
    """
    if isinstance(value, list):
        return [with_local_files(item) for item in value]
    if not isinstance(value, dict):
        return value
    made = {key: with_local_files(item) for key, item in value.items()}
    if str(value.get("location", "")).startswith("rucio://"):
        assert Path(value["path"]).exists(), f"{value['location']} was not downloaded"
        made["location"] = Path(value["path"]).as_uri()
    return made
