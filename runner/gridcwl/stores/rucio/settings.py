"""What a user can say of how Rucio is used. Rucio's own configuration (``rucio.cfg``) says where and who."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

DAY_S = 86_400


@dataclass(frozen=True, slots=True)
class RucioSettings:
    """How a run uses Rucio."""

    scope: str = ""
    """What jobs make goes there; empty: ``user.ACCOUNT``, or the account's only scope."""
    name: str = "{run}/{step}"
    """How names begin; see ``names.Naming``."""
    elements: str = ""
    """An RSE expression: outputs are left on these; empty: wherever the account has a quota."""
    sites: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    """Sites to the elements that their workers use first, beside what the elements' attribute ``site`` says."""
    site: str = ""
    """Where this machine is."""
    keep_days: float = 14
    """How long what lies between the steps is kept after the run has ended."""
    lifetime_days: float | None = None
    """How long final outputs are kept; None is for ever."""
    copies: int = 1
    """Of final outputs."""
    rse_expression: str = ""
    """Where final outputs are kept; empty: where they were made."""
    output_dataset: str = ""
    """``scope:name`` of a dataset for all final files."""
    download: bool = True
    """Bring final outputs to the output directory, too."""
    cache: bool = False
    """Look for results among the outputs of others, and leave ours for them."""
    cache_scopes: tuple[str, ...] = ()
    """Where to look for them, beside our own scope."""
