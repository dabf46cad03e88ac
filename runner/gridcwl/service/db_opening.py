"""Opens the service's database, and brings its schema to this version."""

from __future__ import annotations

from typing import Any

from sqlalchemy import Connection, Engine, create_engine, event, func, select, text
from sqlalchemy.engine import make_url
from sqlalchemy.exc import ArgumentError, IntegrityError, NoSuchModuleError, SQLAlchemyError

from gridcwl.errors import ConfigError, StoreError
from gridcwl.service import texts

_BUSY_MS = 30_000
_CONNECTIONS, _MORE_CONNECTIONS = 10, 40
"""That stay open; and in addition as many as requests have threads."""
_MIGRATING = 0x6772_6964
"""The number of PostgreSQL's lock for changing the schema."""


def _set_up_sqlite(connection: Any, _record: Any) -> None:
    for line in ("journal_mode=WAL", "synchronous=NORMAL", f"busy_timeout={_BUSY_MS}", "foreign_keys=ON"):
        connection.execute(f"PRAGMA {line}")


def opened(url: str) -> tuple[Engine, str]:
    """A database that is not connected to yet, and its URL without its password.

    Raises:
        ConfigError: the URL is wrong, or what it needs is not installed.
    """
    try:
        parsed = make_url(url)
        if parsed.drivername == "postgresql":
            parsed = parsed.set(drivername="postgresql+psycopg")
        pool = {"pool_pre_ping": True, "pool_size": _CONNECTIONS, "max_overflow": _MORE_CONNECTIONS}
        if parsed.get_backend_name() == "postgresql":  # or texts of a database without an encoding come as bytes
            parsed = parsed.update_query_dict({"client_encoding": "utf8"})
        engine = create_engine(parsed, json_serializer=texts.dumped, **pool)
    except (ArgumentError, NoSuchModuleError) as error:
        raise ConfigError(
            f"The database URL {_shown(url)} cannot be used: {error}",
            remedy="Write sqlite:////absolute/path.db or postgresql://user@host/name.",
        ) from None
    except ModuleNotFoundError as error:
        raise ConfigError(
            f"The database {_shown(url)} needs the Python package {error.name}, which is not installed",
            remedy="pip install 'gridcwl[service,postgresql]'",
        ) from None
    event.listen(engine, "before_cursor_execute", texts.with_storable, retval=True)
    if parsed.get_backend_name() == "sqlite":
        event.listen(engine, "connect", _set_up_sqlite)
    return engine, _shown(url)


def migrate(engine: Engine, shown: str, revision: str = "head") -> None:
    """Bring the schema to this version, or to an earlier revision.

    Raises:
        StoreError: the database is unavailable, or has a later schema.
    """
    from alembic import command
    from alembic.config import Config
    from alembic.script import ScriptDirectory
    from alembic.util import CommandError

    config = Config()
    config.set_main_option("script_location", "gridcwl.service:migrations")
    config.set_main_option("path_separator", "os")
    try:
        with engine.begin() as connection:
            config.attributes["connection"] = connection
            ScriptDirectory.from_config(config)
            if engine.dialect.name == "postgresql":  # services that start together do this one after the other
                connection.execute(select(func.pg_advisory_xact_lock(_MIGRATING)))
                _check_encoding(connection, shown)
            command.upgrade(config, revision)
    except CommandError as error:
        raise StoreError(
            f"The database {shown} has a schema that this version of gridcwl does not know: {error}",
            remedy="Use the version of gridcwl that wrote it, or a later one.",
        ) from None
    except (SQLAlchemyError, IntegrityError) as error:
        reason = str(getattr(error, "orig", None) or error).strip().splitlines()[0]
        raise StoreError(
            f"The database {shown} is unavailable: {reason}", remedy="Check its URL, and that it accepts connections."
        ) from error


def _check_encoding(connection: Connection, shown: str) -> None:
    """See that a PostgreSQL database takes all texts.

    Raises:
        ConfigError: it does not.
    """
    encoding = connection.execute(text("SHOW server_encoding")).scalar_one()
    if encoding != "UTF8":
        raise ConfigError(
            f"The database {shown} has the encoding {encoding}, which does not take all texts",
            remedy="Create it again with: createdb --encoding UTF8 --template template0 NAME.",
        )


def _shown(url: str) -> str:
    """A URL without its password."""
    try:
        return make_url(url).render_as_string(hide_password=True)
    except ArgumentError:
        return url.rpartition("@")[2]
