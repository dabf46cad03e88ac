"""Rucio's configuration as text, for the server and for its users. Pure: no file is read or written here."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

POLICIES = {
    "generic": {"permission": "generic", "schema": "generic", "lfn2pfn_algorithm_default": "hash"},
    "escape": {"package": "escape_rucio_policy_package", "lfn2pfn_algorithm_default": "hash"},
    "ctao": {
        "package": "bdms_rucio_policy",
        "lfn2pfn_algorithm_default": "ctao_bdms",
        "extract_scope": "ctao_bdms",
    },
}

# Left out: traces, which want a message broker, and what needs other servers.
_ENDPOINTS = (
    "accountlimits, accounts, auth, config, credentials, dids, export, heartbeats, identities, import, "
    "lifetime_exceptions, locks, meta_conventions, ping, redirect, replicas, requests, rses, rules, scopes, "
    "subscriptions"
)


@dataclass(frozen=True, slots=True)
class ServerSettings:
    """What the server has to know."""

    home: Path
    url: str
    database: str
    """As SQLAlchemy has it; with the password."""
    policy: str
    transfer_tool: str
    memcached: str | None
    issuer_secrets: Path | None

    @property
    def is_sqlite(self) -> bool:
        """SQLite has neither schemas nor pools, and one writer at a time."""
        return self.database.startswith("sqlite")


@dataclass(frozen=True, slots=True)
class ClientSettings:
    """What one account's client has to know."""

    url: str
    account: str
    ca: Path
    folder: Path
    """The account's own: it holds its token."""
    policy: str
    auth: Mapping[str, str]
    """``auth_type`` and what goes with it."""


def server_text(given: ServerSettings) -> str:
    """rucio.cfg of the server."""
    pool = {} if given.is_sqlite else {"pool_size": "10", "max_overflow": "10", "schema": "dev"}
    sections: dict[str, Mapping[str, str]] = {
        "common": {"logdir": f"{given.home}/log", "loglevel": "WARNING"},
        "client": {"rucio_host": given.url, "auth_host": given.url, "request_retries": "3"},
        "database": {"default": given.database, **pool, "pool_recycle": "3600", "pool_reset_on_return": "rollback"},
        # the root account gets its identities with all the others
        "bootstrap": {
            name: ""
            for kind in ("userpass", "x509", "gss", "ssh")
            for name in (f"{kind}_identity", f"{kind}_email", f"{kind}_pwd")
        },
        "alembic": {"cfg": f"{given.home}/alembic.ini"},
        "policy": {**POLICIES[given.policy], "support": "nobody@localhost", "support_rucio": "nobody@localhost"},
        "conveyor": {"scheme": "file,davs,https", "transfertool": given.transfer_tool},
        "transfers": {},
        "monitor": {"enable_metrics": "False", "user_scope": "test"},
        "trace": {"tracedir": f"{given.home}/log/trace"},
        "credentials": {},
        "cache": {"url": given.memcached} if given.memcached else {},
        "api": {"endpoints": _ENDPOINTS},
    }
    if given.issuer_secrets:
        sections["oidc"] = {"idpsecrets": str(given.issuer_secrets), "admin_issuer": "testbed"}
    return _text(sections)


def alembic_text(given: ServerSettings, rucio: Path) -> str:
    """alembic.ini; without the sections on logging, alembic refuses it.

    Args:
        rucio: the folder of the package.
    """
    # its parser takes % for the beginning of a reference
    schema = {} if given.is_sqlite else {"version_table_schema": "dev"}
    return _text(
        {
            "alembic": {
                "script_location": f"{rucio}/db/sqla/migrate_repo",
                "sqlalchemy.url": given.database.replace("%", "%%"),
                **schema,
            },
            "loggers": {"keys": "root"},
            "handlers": {"keys": "console"},
            "formatters": {"keys": "generic"},
            "logger_root": {"level": "WARN", "handlers": "console"},
            "handler_console": {"class": "StreamHandler", "args": "(sys.stderr,)"},
            "formatter_generic": {"format": "%(levelname)-5.5s [%(name)s] %(message)s"},
        }
    )


def client_text(given: ClientSettings) -> str:
    """rucio.cfg of one account."""
    client = {
        "rucio_host": given.url,
        "auth_host": given.url,
        "ca_cert": str(given.ca),
        "account": given.account,
        **given.auth,
        "request_retries": "3",
        # otherwise a file without bytes is looked for for a minute after its upload
        "protocol_stat_retries": "0",
        # two accounts with one such file would become each other
        "auth_token_file_path": f"{given.folder}/token",
    }
    return _text({"client": client, "policy": POLICIES[given.policy]})


def _text(sections: Mapping[str, Mapping[str, str]]) -> str:
    return "\n".join(
        f"[{section}]\n" + "".join(f"{name} = {value}\n" for name, value in values.items())
        for section, values in sections.items()
    )
