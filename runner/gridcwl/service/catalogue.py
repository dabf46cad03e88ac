"""The catalogue: workflows that the operator offers, by their names."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from gridcwl.cwl.described import DescribedDocument
from gridcwl.errors import GridCWLError
from gridcwl.service.problems import BadRequest, NotFound

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*")


@dataclass(frozen=True, slots=True)
class Offer:
    """A workflow of the catalogue."""

    name: str
    path: Path

    @property
    def url(self) -> str:
        """The document, as WES's ``workflow_url`` names it."""
        return self.path.as_uri()


@dataclass(frozen=True, slots=True)
class DescribedOffer:
    """A workflow of the catalogue, and what it takes."""

    offer: Offer
    document: DescribedDocument

    @property
    def title(self) -> str:
        """In a line."""
        return self.document.label or self.offer.name


class Catalogue:
    """The documents in the operator's folders. What is put there later is found, too."""

    def __init__(self, folders: Sequence[Path], describe: Callable[[str, Path], DescribedDocument]) -> None:
        self._folders = folders
        self._describe = describe
        self._known: dict[Path, tuple[float, DescribedDocument]] = {}

    def offers(self) -> list[Offer]:
        """All of them by name; of two with one name, that of the earlier folder."""
        found: dict[str, Offer] = {}
        for folder in self._folders:
            for path in sorted(folder.glob("*.cwl")):
                if _NAME.fullmatch(path.stem) and path.is_file():
                    found.setdefault(path.stem, Offer(path.stem, path))
        return [found[name] for name in sorted(found)]

    def get(self, name: str) -> Offer:
        """A workflow by its name.

        Raises:
            NotFound: there is none.
        """
        for offer in self.offers():
            if offer.name == name:
                return offer
        raise NotFound(f"The catalogue has no workflow {name[:80]}")

    def is_of(self, name: str, document: str) -> bool:
        """Whether a document, as a run names it, is a workflow of the catalogue, now or before it was changed."""
        path = Path(document.partition("#")[0])
        return path.stem == name and any(path.is_relative_to(folder) for folder in self._folders)

    def described(self, offer: Offer) -> DescribedOffer:
        """What a workflow takes. Reads it if it has changed, which blocks.

        Raises:
            BadRequest: it is not valid.
        """
        try:
            changed = offer.path.stat().st_mtime
            known = self._known.get(offer.path)
            if known is None or known[0] != changed:
                known = changed, self._describe(offer.url, offer.path.parent)
                self._known[offer.path] = known
        except (GridCWLError, OSError) as error:
            reason = str(error).replace(f"{offer.path.parent}/", "")
            raise BadRequest(f"The workflow {offer.name} of the catalogue cannot be used: {reason}") from None
        return DescribedOffer(offer, known[1])

    def usable(self) -> list[DescribedOffer]:
        """All that are valid, described."""
        found = []
        for offer in self.offers():
            try:
                found.append(self.described(offer))
            except BadRequest:  # its own page says why
                continue
        return found
