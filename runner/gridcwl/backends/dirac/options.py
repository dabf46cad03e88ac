"""Options of the DIRAC backend, set when it is opened."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from gridcwl.backends.batch.packing import Pack
from gridcwl.backends.dirac.matching import Wishes


@dataclass(frozen=True, slots=True)
class DiracOptions:
    """How the DIRAC backend runs jobs."""

    folder: Path
    """Results and logs come here, a folder for each job."""
    wishes: Wishes = field(default_factory=Wishes)
    pack: Pack = 1
    sites: Mapping[str, Any] = field(default_factory=dict)
    """Container engines and image places by site, as ``gridcwl.worker.site`` reads them."""
    poll_first_s: float = 1.0
    poll_top_s: float = 30.0
    stalled_s: float = 3600.0
    """A job that gives no sign of life for so long is given up."""
    window: int = 2000
    """Jobs under way at a time."""
    leave: bool = False
    """On closing, let the jobs run."""
