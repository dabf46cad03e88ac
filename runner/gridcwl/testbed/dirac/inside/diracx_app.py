"""DiracX as an application in front of the classic DIRAC's databases, for uvicorn; runs in DiracX's environment.

As ``diracx.testing.routers.create_app``, but tables are made only in the databases that are DiracX's own (SQLite):
those in MySQL belong to the classic services. OpenSearch is stood in for by DiracX's own testing package.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import partial
from typing import Any


@asynccontextmanager
async def _tables() -> AsyncIterator[None]:
    from diracx.db.__main__ import init_os
    from diracx.db.sql.utils import BaseSQLDB

    for name, url in BaseSQLDB.available_urls().items():
        if url.startswith("sqlite"):
            database = BaseSQLDB.available_implementations(name)[0](url)
            async with database.engine_context(), database.engine.begin() as connection:
                await connection.run_sync(database.metadata.create_all)
                await database.post_create(connection)
    await init_os()
    yield


def create_app() -> Any:
    """What uvicorn serves."""
    from diracx.db.os.utils import BaseOSDB
    from diracx.routers.factory import create_app
    from diracx.testing.mock_osdb import fake_available_osdb_implementations

    real = BaseOSDB.available_implementations
    BaseOSDB.available_implementations = partial(
        fake_available_osdb_implementations, real_available_implementations=real
    )
    app = create_app()
    app.lifetime_functions.append(_tables)
    return app
