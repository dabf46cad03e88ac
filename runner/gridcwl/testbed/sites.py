"""The sites of the testbed: what DIRAC and Rucio both have to know of them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True, slots=True)
class Site:
    """A place with processors and a storage element beside them."""

    name: str
    """As DIRAC has it, and as the attribute ``site`` of the storage element in Rucio."""
    storage: str
    """The storage element: Rucio's RSE."""
    protocol: Literal["posix", "davs"]
    processors: int
    ram_mb: int
    tags: tuple[str, ...] = ()
    banned: bool = False
    """DIRAC sends no jobs there."""
    about: str = ""


SITES = (
    Site("LCG.Lyon.fr", "LYON-DISK", "posix", processors=4, ram_mb=8192, about="many processors"),
    Site("LCG.CNAF.it", "CNAF-DAVS", "davs", processors=2, ram_mb=4096, tags=("GPU",), about="a GPU; XRootD"),
    Site("LCG.Orsay.fr", "ORSAY_USERDISK", "posix", processors=1, ram_mb=1024, about="small and slow"),
    Site("LCG.Meudon.fr", "MEUDON-DISK", "posix", processors=2, ram_mb=4096, banned=True, about="banned"),
)


def site(name: str) -> Site:
    """The site of this name; KeyError if there is none."""
    return {each.name: each for each in SITES}[name]
