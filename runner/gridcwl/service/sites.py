"""What the service's backend and its sites offer, asked for now and then."""

from __future__ import annotations

import threading
import time
from dataclasses import dataclass, field

from gridcwl import plugins
from gridcwl.backends.base import SiteOffer
from gridcwl.errors import GridCWLError
from gridcwl.runs.settings import options_for
from gridcwl.service.folders import ServiceFolder
from gridcwl.service.settings import ServiceSettings

_KEPT_S = 60.0
_KEPT_AFTER_ERROR_S = 10.0


@dataclass(frozen=True, slots=True)
class Offers:
    """Where jobs of the service run, and where their files are."""

    backend: str
    summary: str
    store: str
    store_summary: str
    sites: tuple[SiteOffer, ...] = ()
    problem: str = ""
    """Why the sites are not known."""
    at: float = 0.0
    """When they were asked for."""


@dataclass(slots=True)
class Sites:
    """The sites of a service; one request asks, others wait for its answer."""

    settings: ServiceSettings
    folder: ServiceFolder
    _known: Offers | None = None
    _asked: float = field(default=0.0)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def offers(self) -> Offers:
        """What they offer. Blocks while the backend is asked."""
        with self._lock:
            known = self._known
            if known is not None:
                kept = _KEPT_AFTER_ERROR_S if known.problem else _KEPT_S
                if time.monotonic() < self._asked + kept:
                    return known
            found = self._query()
            self._known, self._asked = found, time.monotonic()
            return found

    def _query(self) -> Offers:
        folder = self.folder
        settings = {**self.settings.runs, "state_dir": folder.state, "cache_dir": folder.cache}
        options = options_for("", (), settings, folder.path)
        backend, store = options.grid.plugin, plugins.store(options.store.store)
        sites, problem = (), ""
        try:
            sites = tuple(plugins.call(backend, "offers", options.grid.settings) or ())
        except GridCWLError as error:
            problem = str(error)
        return Offers(backend.name, backend.summary, store.name, store.summary, sites, problem, time.time())
