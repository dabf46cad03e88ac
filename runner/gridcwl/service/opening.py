"""What each process of the service opens: the one that answers requests, and those that only work on runs."""

from __future__ import annotations

from contextlib import ExitStack
from typing import TYPE_CHECKING

from gridcwl.service.db import Database
from gridcwl.service.folders import ServiceFolder
from gridcwl.service.settings import ServiceSettings
from gridcwl.service.shared_folder import SharedFolder
from gridcwl.service.web import Authenticator, Nobody

if TYPE_CHECKING:
    from cryptography.fernet import MultiFernet

    from gridcwl.service.owners import Owners
    from gridcwl.service.vault import Vault
    from gridcwl.service.webhooks import Webhooks


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
    from gridcwl.service.vault import Vault
    from gridcwl.worker.credentials import only_for_owners

    vault = Vault(db.engine, _keys(settings))
    owners = Owners(settings, vault, Issuer(settings.auth) if settings.auth.client_id else None)
    owners.begin()
    stack.callback(owners.end)
    stack.enter_context(only_for_owners())
    return vault, owners


def webhooks_of(settings: ServiceSettings, db: Database) -> Webhooks | None:
    """What calls users' webhooks, if the operator allows any; changes of runs are queued for it from now on.

    Raises:
        ConfigError: the keys for what is encrypted cannot be read.
    """
    if not settings.webhooks.urls:
        return None
    from gridcwl.service.webhooks import Webhooks, record

    db.on_change = record
    return Webhooks(db.engine, _keys(settings), settings.webhooks)


def authenticator(settings: ServiceSettings, db: Database) -> Authenticator:
    """How the service finds out who asks.

    Raises:
        ConfigError: the keys for what is encrypted, or the client's secret, cannot be read.
    """
    if settings.auth is None:
        return Nobody()
    from gridcwl.service.identities import Identities
    from gridcwl.service.issuer import Issuer
    from gridcwl.service.keys import ApiKeys
    from gridcwl.service.sessions import Sessions

    keys = _keys(settings)
    issuer = Issuer(settings.auth) if settings.auth.client_id else None
    return Identities(settings.auth, Sessions(db.engine, keys), ApiKeys(db.engine), keys, issuer)


def _keys(settings: ServiceSettings) -> MultiFernet:
    from gridcwl.service.vault import keys_of

    named = settings.credentials.key_file if settings.credentials is not None else None
    return keys_of(named or settings.folder / "credentials.key")
