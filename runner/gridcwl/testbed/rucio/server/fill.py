"""Make the database, and put in place what is missing: accounts, scopes, storage elements, distances, quotas.

    python fill.py < CONTENTS.json          (RUCIO_CONFIG names the server's configuration)

Straight through Rucio's core, as its own bootstrap does: it needs no running server, and an admin can be made in no
other way (the REST schema has no room for the attribute).
"""

from __future__ import annotations

import json
import sys
from itertools import permutations
from typing import Any

from rucio.common.config import config_get
from rucio.common.exception import Duplicate, RSEProtocolNotSupported
from rucio.common.types import InternalAccount, InternalScope
from rucio.core import account as accounts
from rucio.core import account_limit, distance, identity, rse, scope
from rucio.db.sqla.constants import AccountType, DatabaseOperationType, IdentityType
from rucio.db.sqla.session import db_session, get_engine
from rucio.db.sqla.util import build_database, create_base_vo, create_root_account, purge_db
from sqlalchemy import inspect, text


def main() -> None:
    """Read what there is to be, and see to it."""
    contents = json.load(sys.stdin)
    if url := contents.get("create_database"):
        create_database(url, contents["database"])
    make_tables()
    with db_session(DatabaseOperationType.WRITE) as session:
        fill_accounts(contents["accounts"], session)
        elements = {each["name"]: fill_storage(each, session) for each in contents["storage"]}
        fill_distances(list(elements.values()), session)
        for each in contents["accounts"]:
            for name, element in elements.items():
                limit = each["quotas"].get(name, each["quotas"].get("*"))
                if limit is not None:
                    account_limit.set_local_account_limit(
                        InternalAccount(each["name"]), element, limit, session=session
                    )
    print("accounts:", *(each["name"] for each in contents["accounts"]), "storage elements:", *elements)


def create_database(url: str, name: str) -> None:
    """Make the database of this name on the PostgreSQL server, if it has none."""
    import psycopg

    with psycopg.connect(url, autocommit=True) as connection:
        if not connection.execute("SELECT 1 FROM pg_database WHERE datname = %s", [name]).fetchone():
            connection.execute(psycopg.sql.SQL("CREATE DATABASE {}").format(psycopg.sql.Identifier(name)))


def make_tables() -> None:
    """Rucio's schema, the base VO and the root account; what an interrupted attempt left half-made is made again."""
    schema = config_get("database", "schema", raise_exception=False, default=None) or None
    engine = get_engine()
    tables = inspect(engine)
    if tables.has_table("accounts", schema=schema):
        prefix = f"{schema}." if schema else ""
        with engine.connect() as connection:
            root = text(f"SELECT count(*) FROM {prefix}accounts WHERE account = 'root'")  # noqa: S608 - our own schema
            if tables.has_table("alembic_version", schema=schema) and connection.execute(root).scalar():
                return
        purge_db()
    build_database()
    create_base_vo()
    create_root_account()


def fill_accounts(wanted: list[dict[str, Any]], session: Any) -> None:
    """Accounts with their identities, scopes and rights."""
    for each in wanted:
        account = InternalAccount(each["name"])
        if not accounts.account_exists(account, session=session):
            accounts.add_account(account, AccountType[each["type"]], each["email"], session=session)
        have = {(known["identity"], known["type"]) for known in accounts.list_identities(account, session=session)}
        for kind, name, password in each["identities"]:
            if (name, IdentityType[kind]) not in have:
                identity.add_account_identity(
                    name, IdentityType[kind], account, each["email"], default=True, password=password, session=session
                )
        if each["admin"] and not accounts.has_account_attribute(account, "admin", session=session):
            accounts.add_account_attribute(account=account, key="admin", value=True, session=session)
        for name in each["scopes"]:
            if not scope.check_scope(InternalScope(name), session=session):
                scope.add_scope(InternalScope(name), account, session=session)


def fill_storage(wanted: dict[str, Any], session: Any) -> str:
    """One storage element with its protocols and attributes; returns its id."""
    name = wanted["name"]
    new = not rse.rse_exists(name, session=session)
    element: str = rse.add_rse(name, session=session) if new else rse.get_rse_id(name, session=session)
    try:
        known = rse.get_rse_protocols(element, session=session)["protocols"]
    except RSEProtocolNotSupported:
        known = []
    have = {(each["scheme"], each["port"]) for each in known}
    for protocol in wanted["protocols"]:
        if (protocol["scheme"], protocol["port"]) not in have:
            rse.add_protocol(element, protocol, session=session)
    attributes = rse.list_rse_attributes(element, session=session)
    for key, value in wanted["attributes"].items():
        if key not in attributes:
            rse.add_rse_attribute(element, key, value, session=session)
    return element


def fill_distances(elements: list[str], session: Any) -> None:
    """Every storage element is as near to every other."""
    for source, target in permutations(elements, 2):
        if not distance.get_distances(source, target, session=session):
            distance.add_distance(source, target, distance=1, session=session)


if __name__ == "__main__":
    try:
        main()
    except Duplicate as error:
        sys.exit(f"it is there already, though it was not seen: {error}")
