"""The catalogue: workflows that the operator offers, by their names."""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

from gridcwl.cwl.described import DescribedDocument
from gridcwl.errors import GridCWLError
from gridcwl.service.catalogue_sources import CatalogueSources, CatalogueWorkflow
from gridcwl.service.problems import BadRequest, NotFound


@dataclass(frozen=True, slots=True)
class DescribedOffer:
    """A workflow of the catalogue, and what it takes."""

    offer: CatalogueWorkflow
    document: DescribedDocument

    @property
    def title(self) -> str:
        """In a line: the document's label, or else its crate's."""
        return self.document.label or self.offer.label or self.offer.name

    @property
    def doc(self) -> str:
        """The document's description, or else its crate's."""
        return self.document.doc or self.offer.doc


class Catalogue:
    """The documents of the operator's sources. What is put there later is found, too."""

    def __init__(self, sources: CatalogueSources, describe: Callable[[str, Path], DescribedDocument]) -> None:
        self._sources = sources
        self._describe = describe
        self._known: dict[Path, tuple[float, DescribedDocument]] = {}

    @property
    def problems(self) -> Mapping[str, str]:
        """Why sources are not offered, by how the operator has written them."""
        return dict(self._sources.problems)

    def begin(self) -> None:
        """Fetch what is not on this machine, in a thread of its own."""
        threading.Thread(target=self._sources.fetch, name="gridcwl-catalogue", daemon=True).start()

    def end(self) -> None:
        """Fetch no more."""
        self._sources.close()

    def refresh(self) -> None:
        """Read all documents again, and fetch what could not be fetched before. Blocks."""
        self._known.clear()
        self._sources.fetch()

    def offers(self) -> list[CatalogueWorkflow]:
        """All of them by name; of two with one name, that of the earlier source."""
        return self._sources.offers()

    def get(self, name: str) -> CatalogueWorkflow:
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
        if any(offer.name == name and offer.path == path for offer in self.offers()):
            return True
        return path.stem == name and any(path.is_relative_to(folder) for folder in self._sources.roots)

    def described(self, offer: CatalogueWorkflow) -> DescribedOffer:
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
