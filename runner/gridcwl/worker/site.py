"""What a site has for containers: which engine, and where images lie. Configured by whoever submits, looked up here."""

from __future__ import annotations

import os
import re
import shutil
import tempfile
from typing import Any, Callable, List, Mapping, Optional, Sequence

from gridcwl.worker.bare_engine import BareEngine
from gridcwl.worker.cli_engines import CommandLineEngine
from gridcwl.worker.cli_vectors import KINDS, sif_name
from gridcwl.worker.credentials import Trusted
from gridcwl.worker.engine import Call, Engine, EngineError, Plain, Running
from gridcwl.worker.failure import WorkerFailure
from gridcwl.worker.fetch import FetchRequest, fetch, known_of, nearest_first

EVERYWHERE = "*"
IN_RUCIO = "rucio:"
_FOREIGN = re.compile(r"[^A-Za-z0-9._/-]")


def settings_of(sites: Mapping[str, Any], site: str) -> Plain:
    """The settings of one site: its own over those of ``*``."""
    return {**sites.get(EVERYWHERE, {}), **sites.get(site, {})}


def engine_of(settings: Plain, which: Callable[[str], Optional[str]] = shutil.which, site: str = "") -> Engine:
    """The engines that the site's settings name and the machine has, as one; ``none`` is the bare command.

    Args:
        settings: of this site.
        which: where a program is.
        site: what is near is fetched first.

    Raises:
        EngineError: none of them is installed; a worker of another site may have one.
    """
    names: Sequence[str] = settings.get("engines") or KINDS
    if names[0] == "none":
        return BareEngine()
    engines = [CommandLineEngine(name, cache=settings.get("image_cache")) for name in names if which(name)]
    if engines:
        return SiteEngine(engines, settings.get("images") or (), Archives(settings.get("archives") or {}, site))
    if "none" in names:
        return BareEngine()
    raise EngineError(
        f"No container engine is installed on this machine (looked for {', '.join(names)}).", temporary=True
    )


class Archives:
    """Images in Rucio, of those that the jobs name: fetched as an input would be, and only where they are wanted."""

    def __init__(self, known: Mapping[str, Any], site: str) -> None:
        """``known`` has for each place (``rucio:scope:name``) sources, size, checksum and the storage elements."""
        self._known = known
        self._site = site

    def __contains__(self, place: str) -> bool:
        return place in self._known

    def fetch(self, place: str, folder: str) -> str:
        """Bring one to this machine; returns its path.

        Raises:
            EngineError: no copy of it is available now.
        """
        about = self._known[place]
        sources = nearest_first(about["sources"], about["elements"], self._site)
        wanted = FetchRequest(sources, known_of(about), about["location"], Trusted(sources))  # by Rucio
        try:
            return fetch(wanted, "", folder, lambda: None).path
        except (WorkerFailure, OSError) as error:
            reason = error.reason if isinstance(error, WorkerFailure) else str(error)
            raise EngineError(f"The image {place} cannot be fetched: {reason}", temporary=True) from error


class SiteEngine:
    """The container engines of a site, for one job: the first that has the image, else the first that can get it.

    Images are looked for in the places of the site first. What goes wrong here may go right at another site: all its
    errors are temporary.
    """

    containers = True

    def __init__(
        self, engines: Sequence[CommandLineEngine], places: Sequence[str], archives: Optional[Archives] = None
    ) -> None:
        self.name = engines[0].name
        self._engines = list(engines)
        self._places = places
        self._archives = archives or Archives({}, "")

    def prepare(self, image: Mapping[str, Any]) -> str:
        """See ``Engine.prepare``."""
        places = [place for place in filled(_name(image), self._places) if _is_there(place, self._archives)]
        wanted = {engine.name: located(image, places, engine.name) for engine in self._engines}
        # To have it beats the order: where there is no way to a registry, it is the only chance.
        order = sorted(self._engines, key=lambda engine: not engine.has(wanted[engine.name]))
        problems = []
        for engine in order:
            try:
                answer = self._prepared(engine, wanted[engine.name])
            except EngineError as error:
                problems.append(str(error))
            else:
                self.name, self._engines = engine.name, [engine]
                return answer
        raise EngineError(" ".join(problems), temporary=True)

    def _prepared(self, engine: CommandLineEngine, image: Mapping[str, Any]) -> str:
        place = str(image.get("load", ""))
        if not place.startswith(IN_RUCIO) or engine.has(image):
            return engine.prepare(image)
        with tempfile.TemporaryDirectory(prefix="gridcwl-image-", dir=os.getcwd()) as folder:
            path = self._archives.fetch(place, folder)
            if not path.endswith(".sif"):
                return engine.prepare({**image, "load": path})
            return engine.keep(path, str(image["id"]))

    @property
    def chosen(self) -> CommandLineEngine:
        """The one that has the image, after ``prepare``."""
        return self._engines[0]

    def digest(self, prepared: str) -> str:
        """See ``Engine.digest``."""
        return self._engines[0].digest(prepared)

    def start(self, call: Call) -> Running:
        """See ``Engine.start``."""
        try:
            return self._engines[0].start(call)
        except EngineError as error:
            raise EngineError(str(error), temporary=True) from error


def located(
    image: Mapping[str, Any],
    places: Sequence[str],
    engine: str,
    exists: Callable[[str], bool] = os.path.exists,
) -> Mapping[str, Any]:
    """The image, from the first of the site's places that has it; as it is where none has.

    A place is a template with ``{image}`` (``debian:12``) or ``{file}`` (the same as a file name). A path is a folder
    or .sif file for apptainer (CVMFS's unpacked trees), or a .tar made by ``docker save`` for the others;
    ``rucio:scope:name`` is such a .sif or .tar in Rucio; anything else is what to pull instead:
    ``registry.site.org/mirror/{image}``.
    """
    name = _name(image)
    if not name:
        return image
    for place in filled(name, places):
        if place.startswith(IN_RUCIO):
            if engine in ("apptainer", "singularity") or not place.endswith(".sif"):
                return {"id": image.get("id") or name, "load": place}
            continue
        if not place.startswith("/"):
            return {**image, "id": image.get("id") or name, "pull": place}
        if not exists(place):
            continue
        if place.endswith((".tar", ".tar.gz")):
            return {"id": image.get("id") or name, "load": place}
        if engine in ("apptainer", "singularity"):
            return {"id": place}
    return image


def filled(name: str, places: Sequence[str]) -> List[str]:
    """The places with an image's name in them; in Rucio, with ``_`` for what its names may not have."""
    found = []
    for place in places:
        image, file = name, sif_name(name)
        if place.startswith(IN_RUCIO):
            image, file = _FOREIGN.sub("_", image), _FOREIGN.sub("_", file)
        found.append(place.replace("{image}", image).replace("{file}", file))
    return found


def _name(image: Mapping[str, Any]) -> str:
    return str(image.get("pull") or image.get("id") or "")


def _is_there(place: str, archives: Archives) -> bool:
    return not place.startswith(IN_RUCIO) or place in archives


__all__: List[str] = ["Archives", "SiteEngine", "engine_of", "filled", "located", "settings_of"]
