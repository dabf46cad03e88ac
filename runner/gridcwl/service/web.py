"""What every route needs: the service's parts, who asks, and under which URL the caller knows the service."""

from __future__ import annotations

import asyncio
import contextvars
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

from fastapi import Request

from gridcwl.cwl.described import DescribedDocument
from gridcwl.runs.prepared import RunRequest
from gridcwl.runs.session import described_document
from gridcwl.runs.settings import options_for
from gridcwl.service.catalogue import Catalogue
from gridcwl.service.catalogue_sources import CatalogueSources
from gridcwl.service.db import Database, Viewer
from gridcwl.service.driver import Driver
from gridcwl.service.folders import ServiceFolder
from gridcwl.service.limits import RateLimit
from gridcwl.service.problems import Forbidden
from gridcwl.service.registries import located_within
from gridcwl.service.settings import ServiceSettings
from gridcwl.service.sites import Sites

if TYPE_CHECKING:
    from gridcwl.service.owners import Owners
    from gridcwl.service.vault import Vault
    from gridcwl.service.webhooks import Webhooks

_UPLOADS = 8
"""Requests with attachments that are received at a time."""


class Authenticator(Protocol):
    """Finds out who asks."""

    instructions: str
    """A page for people; empty if nobody needs one."""

    async def viewer(self, request: Request) -> Viewer:
        """Who asks.

        Raises:
            Unauthenticated: it is not known.
        """
        ...


class Nobody:
    """Authentication of a service that only this machine reaches: whoever asks may do all."""

    instructions = ""

    async def viewer(self, request: Request) -> Viewer:  # noqa: ARG002
        """See ``Authenticator.viewer``."""
        return Viewer("anonymous", sees_all=True, may_operate=True)


@dataclass(slots=True)
class Service:
    """The service's parts."""

    settings: ServiceSettings
    folder: ServiceFolder
    db: Database
    driver: Driver
    authenticator: Authenticator = field(default_factory=Nobody)
    schemes: Sequence[str] = ()
    """Of files that the store knows."""
    owners: Owners | None = None
    """Credentials of runs, if they use their owners'."""
    vault: Vault | None = None
    ending: bool = False
    """No request is to wait for anything any more."""
    webhooks: Webhooks | None = None
    rates: RateLimit = field(default_factory=lambda: RateLimit(0))
    """Requests of users."""
    uploading: asyncio.Semaphore = field(default_factory=lambda: asyncio.Semaphore(_UPLOADS))
    sites: Sites = field(init=False)
    catalogue: Catalogue = field(init=False)

    def __post_init__(self) -> None:
        self.sites = Sites(self.settings, self.folder)
        self.catalogue = Catalogue(
            CatalogueSources(self.settings.catalogue, self.settings.catalogue_folder), self.described
        )

    def described(self, document: str, files: Path) -> DescribedDocument:
        """The inputs of a document, which is read and checked for it. Blocks, and is not for the runs' thread.

        Args:
            document: where it is, as ``submission.document_place`` says.
            files: the attachments.

        Raises:
            GridCWLError: it is wrong, or may not be read.
        """
        # in a context of its own: what confines the document does not confine what this thread does next
        return contextvars.copy_context().run(self._described, document, files)

    def _described(self, document: str, files: Path) -> DescribedDocument:
        allowed = self.driver.confinement(files)
        settings = {**self.settings.runs, "state_dir": self.folder.state, "cache_dir": self.folder.cache}
        place = located_within(document, allowed)
        options = options_for(place, (), {**settings, "confinement": allowed}, files)
        return described_document(RunRequest(options, files))

    @property
    def protocols(self) -> list[str]:
        """WES's ``supported_filesystem_protocols``."""
        web = sorted({url.partition(":")[0] for url in self.settings.allowed_urls} - {"trs"})
        return [*(["file"] if self.settings.file_roots else []), *web, *self.schemes]

    @property
    def auth_instructions(self) -> str:
        """A page that says how to get a token."""
        return self.authenticator.instructions


def service_of(request: Request) -> Service:
    """The service, for routes."""
    service: Service = request.app.state.service
    return service


async def viewer_of(request: Request) -> Viewer:
    """Who asks, for routes; also in ``request.state.viewer``, for templates."""
    service = service_of(request)
    viewer = await service.authenticator.viewer(request)
    service.rates.check(viewer.subject)
    request.state.viewer = viewer
    return viewer


def check_may_submit(viewer: Viewer) -> None:
    """Check that a caller may begin something.

    Raises:
        Forbidden: they may read only.
    """
    if not viewer.may_submit:
        raise Forbidden("The token does not allow to submit runs")


def public_url(request: Request, service: Service) -> str:
    """The beginning of all URLs that the service gives out."""
    return service.settings.public_url.rstrip("/") or str(request.base_url).rstrip("/")
