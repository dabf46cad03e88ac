"""Images that sites are to have from Rucio: which ones jobs name, and what workers have to know to fetch them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

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
    """What the run's store has of images; the run looks them up before it submits their jobs."""

    def __init__(self, sites: Mapping[str, Any]) -> None:
        """Look at the configuration.

        Args:
            sites: container engines and image places by site.

        Raises:
            ConfigError: a place is no DID.
        """
        self._sites = sites
        self.templates = templates(sites)
        self._known: dict[str, Any] = {}
        for place in self.templates:
            if place.count(":") < 2:
                raise ConfigError(f"{place} is no place for images", remedy="Write rucio:SCOPE:NAME.")

    def missing(self, jobs: Iterable[Job]) -> list[str]:
        """See ``StoreImages.missing_images``; the names are ``scope:name``."""
        places = named(self.templates, jobs)
        return [place.removeprefix(IN_RUCIO) for place in places if place not in self._known]

    def add(self, found: Mapping[str, Any]) -> None:
        """See ``StoreImages.add_images``."""
        self._known |= {IN_RUCIO + did: about for did, about in found.items()}

    def settings_for(self, jobs: Iterable[Job]) -> Mapping[str, Any]:
        """The settings of all sites, with where the images of these jobs are in the store."""
        if not self.templates:
            return self._sites
        places = named(self.templates, jobs)
        archives = {place: self._known[place] for place in places if place in self._known}
        return {**self._sites, EVERYWHERE: {**self._sites.get(EVERYWHERE, {}), "archives": archives}}
