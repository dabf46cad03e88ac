"""Images that sites are to have from Rucio: which ones jobs name, and what workers have to know to fetch them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from gridcwl.backends.base import FindArchives
from gridcwl.errors import ConfigError
from gridcwl.model import Job
from gridcwl.worker.site import EVERYWHERE, IN_RUCIO, filled


def templates(sites: Mapping[str, Any]) -> list[str]:
    """The places of images that are in Rucio: ``rucio:scope:name``, with ``{image}`` or ``{file}`` in it."""
    places = [place for about in sites.values() for place in about.get("images") or ()]
    return [place for place in dict.fromkeys(places) if place.startswith(IN_RUCIO)]


def named(places: Sequence[str], jobs: Iterable[Job]) -> list[str]:
    """The places that these jobs' images may be at."""
    names = {image.pull or image.id for job in jobs if (image := job.image) is not None}
    return [place for name in sorted(names) if name for place in filled(name, places)]


class ImageArchives:
    """What was found so far; what was not is looked for again with the next batch."""

    def __init__(self, sites: Mapping[str, Any], find: FindArchives | None) -> None:
        """Look at the configuration; nothing is asked yet.

        Raises:
            ConfigError: an image is to come from Rucio, and the run has none, or a place is no DID.
        """
        self._sites, self._find = sites, find
        self._templates = templates(sites)
        self._known: dict[str, Any] = {}
        for place in self._templates:
            if place.count(":") < 2:
                raise ConfigError(f"{place} is no place for images", remedy="Write rucio:SCOPE:NAME.")
        if self._templates and find is None:
            store = self._templates[0].partition(":")[0]
            raise ConfigError(
                f"The images of {self._templates[0]} are in a store, and the run does not use it",
                remedy=f"Choose --store {store}, or take the place out of [dirac.images].",
            )

    async def for_jobs(self, jobs: Iterable[Job]) -> Mapping[str, Any]:
        """The settings of all sites, with where the images of these jobs are in Rucio.

        Raises:
            StoreError: Rucio does not answer.
        """
        if not self._templates or self._find is None:
            return self._sites
        places = named(self._templates, jobs)
        unknown = [place for place in places if place not in self._known]
        if unknown:
            found = await self._find([place.removeprefix(IN_RUCIO) for place in unknown])
            self._known |= {IN_RUCIO + did: about for did, about in found.items()}
        archives = {place: self._known[place] for place in places if place in self._known}
        return {**self._sites, EVERYWHERE: {**self._sites.get(EVERYWHERE, {}), "archives": archives}}
