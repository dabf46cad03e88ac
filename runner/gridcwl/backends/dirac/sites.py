"""What each site offers, as DIRAC's configuration has it. Pure functions.

``/Resources/Sites/<grid>/<site>/CEs/<element>/Queues/<queue>``: what a queue does not say, its computing element does,
and else the site. A value that nobody gives is not known, and rules nothing out.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Queue:
    """One kind of place for a job at a site. None is for: the configuration does not say."""

    name: str
    processors: int | None = None
    ram_mib: int | None = None
    cpu_time_s: int | None = None
    tags: tuple[str, ...] = ()
    required_tags: tuple[str, ...] = ()
    """Only jobs that ask for one of these come here."""
    platform: str | None = None


@dataclass(frozen=True, slots=True)
class DiracSite:
    """What a site offers."""

    site: str
    queues: tuple[Queue, ...] = ()
    status: str = "Active"
    """As DIRAC's resource status system has it; jobs go to ``Active`` and ``Degraded`` sites."""
    storage: tuple[str, ...] = ()
    """Storage elements at the site."""

    @property
    def open(self) -> bool:
        """Whether DIRAC sends jobs there now."""
        return self.status in ("Active", "Degraded")


def offers(tree: Mapping[str, str | None], usable: Collection[str] | None = None) -> tuple[DiracSite, ...]:
    """The sites of a configuration.

    Args:
        tree: paths below and including ``/Resources/Sites`` to values; None for a section.
        usable: the sites that take jobs; None if that is not known.
    """
    sites = sorted({found[1] for path in tree if (found := re.match(r"/Resources/Sites/[^/]+/([^/]+)", path))})
    return tuple(_offer(site, _below(tree, site), usable) for site in sites)


def _below(tree: Mapping[str, str | None], site: str) -> dict[str, str]:
    inside = re.compile(r"/Resources/Sites/[^/]+/" + re.escape(site) + "/(.*)")
    return {found[1]: value for path, value in tree.items() if value is not None and (found := inside.match(path))}


def _offer(site: str, options: Mapping[str, str], usable: Collection[str] | None) -> DiracSite:
    status = "Active" if usable is None or site in usable else "Banned"
    return DiracSite(site, tuple(_queues(options)), status, _listed(options.get("SE")))


def _queues(options: Mapping[str, str]) -> Iterator[Queue]:
    queues = {found[0] for path in options if (found := re.match(r"CEs/[^/]+/Queues/[^/]+(?=/)", path))}
    elements = {found[0] for path in options if (found := re.match(r"CEs/[^/]+(?=/)", path))}
    places = sorted(queues) or sorted(elements) or [""]
    for place in places:
        levels = [place, place.partition("/Queues/")[0], ""]

        def first(*names: str, levels: list[str] = levels) -> str | None:
            for level in dict.fromkeys(levels):
                for name in names:
                    if (value := options.get(f"{level}/{name}".lstrip("/"))) is not None:
                        return value
            return None

        def every(name: str, levels: list[str] = levels) -> tuple[str, ...]:
            found = [word for level in levels for word in _listed(options.get(f"{level}/{name}".lstrip("/")))]
            return tuple(dict.fromkeys(found))

        yield Queue(
            name=place.replace("CEs/", "").replace("/Queues/", "/"),
            processors=_number(first("NumberOfProcessors")),
            ram_mib=_number(first("MaxRAM")),
            cpu_time_s=_seconds(first("CPUTime"), first("maxCPUTime")),
            tags=every("Tag"),
            required_tags=every("RequiredTag"),
            platform=first("Platform", "architecture"),
        )


def _seconds(cpu_time: str | None, minutes: str | None) -> int | None:
    """DIRAC counts ``CPUTime`` in seconds, and ``maxCPUTime`` in minutes."""
    direct, limit = _number(cpu_time), _number(minutes)
    return direct if direct is not None else None if limit is None else limit * 60


def _listed(value: str | None) -> tuple[str, ...]:
    return tuple(word for part in (value or "").split(",") if (word := part.strip()))


def _number(value: str | None) -> int | None:
    try:
        return int(float(value)) if value is not None else None
    except ValueError:
        return None
