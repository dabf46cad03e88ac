"""What a site has for containers: which engine, and where images lie. Configured by whoever submits, looked up here."""

from __future__ import annotations

import os
import shutil
from typing import Any, Callable, List, Mapping, Optional, Sequence

from gridcwl.worker.bare_engine import BareEngine
from gridcwl.worker.cli_engines import CommandLineEngine
from gridcwl.worker.cli_vectors import KINDS, sif_name
from gridcwl.worker.engine import Call, Engine, EngineError, Plain, Running

EVERYWHERE = "*"


def settings_of(sites: Mapping[str, Any], site: str) -> Plain:
    """The settings of one site: its own over those of ``*``."""
    return {**sites.get(EVERYWHERE, {}), **sites.get(site, {})}


def engine_of(settings: Plain, which: Callable[[str], Optional[str]] = shutil.which) -> Engine:
    """The engines that the site's settings name and the machine has, as one; ``none`` is the bare command.

    Raises:
        EngineError: none of them is installed; a worker of another site may have one.
    """
    names: Sequence[str] = settings.get("engines") or KINDS
    if names[0] == "none":
        return BareEngine()
    engines = [CommandLineEngine(name, cache=settings.get("image_cache")) for name in names if which(name)]
    if engines:
        return SiteEngine(engines, settings.get("images") or ())
    if "none" in names:
        return BareEngine()
    raise EngineError(
        f"No container engine is installed on this machine (looked for {', '.join(names)}).", temporary=True
    )


class SiteEngine:
    """The container engines of a site, for one job: the first that has the image, else the first that can get it.

    Images are looked for in the places of the site first. What goes wrong here may go right at another site: all its
    errors are temporary.
    """

    containers = True

    def __init__(self, engines: Sequence[CommandLineEngine], places: Sequence[str]) -> None:
        self.name = engines[0].name
        self._engines = list(engines)
        self._places = places

    def prepare(self, image: Mapping[str, Any]) -> str:
        """See ``Engine.prepare``."""
        wanted = {engine.name: located(image, self._places, engine.name) for engine in self._engines}
        # To have it beats the order: where there is no way to a registry, it is the only chance.
        order = sorted(self._engines, key=lambda engine: not engine.has(wanted[engine.name]))
        problems = []
        for engine in order:
            try:
                answer = engine.prepare(wanted[engine.name])
            except EngineError as error:
                problems.append(str(error))
            else:
                self.name, self._engines = engine.name, [engine]
                return answer
        raise EngineError(" ".join(problems), temporary=True)

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
    or .sif file for apptainer (CVMFS's unpacked trees), or a .tar made by ``docker save`` for the others; anything
    else is what to pull instead: ``registry.site.org/mirror/{image}``.
    """
    name = image.get("pull") or image.get("id")
    if not name:
        return image
    for template in places:
        place = template.replace("{image}", name).replace("{file}", sif_name(name))
        if not place.startswith("/"):
            return {**image, "id": image.get("id") or name, "pull": place}
        if not exists(place):
            continue
        if place.endswith((".tar", ".tar.gz")):
            return {"id": image.get("id") or name, "load": place}
        if engine in ("apptainer", "singularity"):
            return {"id": place}
    return image


__all__: List[str] = ["SiteEngine", "engine_of", "located", "settings_of"]
