"""What each process of the service opens: the one that answers requests, and those that only work on runs."""

from __future__ import annotations

from contextlib import ExitStack
from typing import TYPE_CHECKING

from gridcwl.service.db import Database
from gridcwl.service.folders import ServiceFolder
from gridcwl.service.settings import ServiceSettings
from gridcwl.service.shared_folder import SharedFolder

if TYPE_CHECKING:
    from gridcwl.service.owners import Owners
    from gridcwl.service.vault import Vault


def service_folder(settings: ServiceSettings, db: Database) -> ServiceFolder:
    """The service's folder on this machine."""
    if db.is_shared:
        return SharedFolder(settings.folder, db.engine, settings.max_kept_mib << 20)
    return ServiceFolder(settings.folder)


def owners_of(settings: ServiceSettings, db: Database, stack: ExitStack) -> tuple[Vault | None, Owners | None]:
    """What lets runs use their owners' credentials, where the settings do.

    Raises:
        ConfigError: the keys that encrypt them, or the client's secret, cannot be read.
    """
    if settings.credentials is None or settings.auth is None:
        return None, None
    from gridcwl.service.issuer import Issuer
    from gridcwl.service.owners import Owners
    from gridcwl.service.vault import Vault, keys_of
    from gridcwl.worker.credentials import only_for_owners

    vault = Vault(db.engine, keys_of(settings.credentials.key_file or settings.folder / "credentials.key"))
    owners = Owners(settings, vault, Issuer(settings.auth) if settings.auth.client_id else None)
    owners.begin()
    stack.callback(owners.end)
    stack.enter_context(only_for_owners())
    return vault, owners
