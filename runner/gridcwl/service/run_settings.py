"""The settings of a run at a service: those of its user, within what the operator allows."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from gridcwl import plugins
from gridcwl.model.confinement import Confinement
from gridcwl.service.catalogue_sources import roots_of
from gridcwl.service.registries import prefixes
from gridcwl.service.settings import ServiceSettings

SITES = "sites"
"""The setting of a run that names the sites that its user has chosen, and that of backends."""


def completed(settings: Mapping[str, Any], service: ServiceSettings) -> dict[str, Any]:
    """Settings of a new run, with the sites that its user has chosen and no more jobs than its owner may have."""
    return _placed(_capped(settings, service), service)


def confinement(service: ServiceSettings, *folders: Path) -> Confinement:
    """What documents may read: the operator's folders and URLs, and these folders."""
    offered = roots_of(service.catalogue, service.catalogue_folder)
    roots = tuple(str(root) for root in (*service.file_roots, *offered))
    return Confinement(
        roots, prefixes(service.allowed_urls), service.in_place, service.build_images, service.network
    ).also(*map(str, folders))


def _capped(settings: Mapping[str, Any], service: ServiceSettings) -> dict[str, Any]:
    """With no more jobs at a time than the owner may have, where the backend takes that."""
    most = service.quotas.jobs
    if not most or (service.runs.get("backend") or "local") != "local":
        return dict(settings)
    return {**settings, "max_jobs": min(most, settings.get("max_jobs") or most)}


def _placed(settings: dict[str, Any], service: ServiceSettings) -> dict[str, Any]:
    """With the chosen sites as the backend has them, where it has any to choose from."""
    sites = settings.pop(SITES, None)
    plugin = plugins.backend(str(service.runs.get("backend") or plugins.configuration().backend or "local"))
    if not sites or SITES not in getattr(plugin.settings, "__struct_fields__", ()):
        return settings
    table = {**(service.runs.get(plugin.table) or {}), SITES: list(sites)}
    return {**settings, plugin.table: table}
