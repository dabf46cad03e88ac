"""The ASGI application: routes, errors as WES writes them, health, metrics; and what is opened while it serves."""

from __future__ import annotations

import asyncio
import fcntl
import logging
import os
import time
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import ExitStack, asynccontextmanager, contextmanager
from http import HTTPStatus
from pathlib import Path
from typing import TYPE_CHECKING, Any

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse, PlainTextResponse, Response
from sqlalchemy.exc import SQLAlchemyError
from starlette.exceptions import HTTPException
from starlette.routing import Match, Route

from gridcwl import __version__
from gridcwl.cwl.javascript import apart
from gridcwl.errors import ConfigError
from gridcwl.service import (
    basket_routes,
    catalogue_api,
    credentials,
    metrics,
    native,
    pages,
    production_routes,
    run_data,
    schedule_routes,
    wes,
)
from gridcwl.service.db import Database
from gridcwl.service.driver import Driver
from gridcwl.service.driver_processes import DriverProcesses
from gridcwl.service.folders import ServiceFolder, remove_unfinished
from gridcwl.service.guard import BodyLimit, SameOrigin
from gridcwl.service.limits import AddressLimit, RateLimit
from gridcwl.service.messages import RunHandler
from gridcwl.service.opening import authenticator, owners_of, service_folder, webhooks_of
from gridcwl.service.problems import Refused
from gridcwl.service.settings import ServiceSettings
from gridcwl.service.stored_requests import remove_unknown
from gridcwl.service.submitting import schemes_of
from gridcwl.service.tes import routes as tes
from gridcwl.service.uws import routes as uws
from gridcwl.service.uws import vosi
from gridcwl.service.web import Service

if TYPE_CHECKING:
    from gridcwl.service.webhooks import Webhooks

log = logging.getLogger("gridcwl.service")


def application(settings: ServiceSettings, lost: Callable[[], None] | None = None) -> FastAPI:
    """The service as an ASGI application.

    Args:
        settings: checked, as ``settings.load`` gives them.
        lost: as ``Driver`` takes it.
    """

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        ServiceFolder(settings.folder).make()
        handler = RunHandler()
        logger = logging.getLogger("gridcwl")
        with ExitStack() as stack:
            service = app.state.service = _open(settings, lost, stack)
            logger.addHandler(handler)
            try:
                async with service.driver.working(), _delivering(service.webhooks):
                    yield
            finally:
                logger.removeHandler(handler)

    app = FastAPI(
        title="gridcwl",
        version=__version__,
        lifespan=lifespan,
        docs_url=None,  # they load scripts from elsewhere
        redoc_url=None,
        openapi_url="/openapi.json",
    )
    _route(app, settings)
    app.add_exception_handler(Refused, _refused)
    app.add_exception_handler(HTTPException, _http_error)
    app.add_exception_handler(RequestValidationError, _invalid)
    app.add_exception_handler(SQLAlchemyError, _database_error)
    app.add_exception_handler(Exception, _internal_error)
    app.add_api_route("/healthz", _alive, include_in_schema=False)
    app.add_api_route("/readyz", _ready, include_in_schema=False)
    app.add_api_route("/metrics", metrics.metrics, include_in_schema=False)
    _guard(app, settings)
    return app


def _open(settings: ServiceSettings, lost: Callable[[], None] | None, stack: ExitStack) -> Service:
    """The service's parts, which the stack closes; see :func:`application`."""
    if not settings.database_url.startswith("postgresql"):
        stack.enter_context(_held(settings.folder))
    db = Database(settings.database_url)
    stack.callback(db.close)
    folder = service_folder(settings, db)
    remove_unfinished(folder, lambda run: db.get(run) is not None)
    remove_unknown(folder, db, time.time())
    stack.enter_context(apart(required=settings.expressions == "user"))
    vault, owners = owners_of(settings, db, stack)
    if settings.drivers is None:
        driver = Driver(settings, folder, db, owners, lost)
    else:
        driver = DriverProcesses(settings, folder, db, owners)
    service = Service(settings, folder, db, driver, authenticator(settings, db), schemes_of(settings), owners, vault)
    service.webhooks = webhooks_of(settings, db)
    service.rates = RateLimit(settings.quotas.requests_per_minute)
    service.catalogue.begin()
    stack.callback(service.catalogue.end)
    return service


def _guard(app: FastAPI, settings: ServiceSettings) -> None:
    """Add what is done before any route, and the routes that depend on who may ask."""
    app.add_middleware(BodyLimit, most=settings.max_upload_mib << 20)
    if settings.quotas.requests_per_minute_and_address:
        app.add_middleware(AddressLimit, per_minute=settings.quotas.requests_per_minute_and_address)
    if settings.auth is None:
        app.include_router(pages.router)
        app.add_middleware(SameOrigin, public_url=settings.public_url, any_host=settings.unix_socket is not None)
    else:
        from gridcwl.service import accounts, login

        app.include_router(accounts.router)
        if settings.auth.client_id:  # else a browser has no token to show
            app.include_router(pages.router)
            app.include_router(login.router)


def _route(app: FastAPI, settings: ServiceSettings) -> None:
    """The interfaces for programs."""
    app.include_router(wes.router)
    app.include_router(tes.router)
    app.include_router(native.router)
    app.include_router(run_data.router)
    app.include_router(schedule_routes.router)
    app.include_router(production_routes.router)
    app.include_router(basket_routes.router)
    app.include_router(catalogue_api.router)
    app.include_router(vosi.links)
    for prefix in (uws.PREFIX, f"{uws.PREFIX}/{{workflow}}"):
        app.include_router(uws.router, prefix=prefix, include_in_schema=False)
        app.include_router(vosi.router, prefix=prefix, include_in_schema=False)
    app.include_router(credentials.router)
    if settings.webhooks.urls:
        from gridcwl.service import webhook_routes

        app.include_router(webhook_routes.router)


@asynccontextmanager
async def _delivering(webhooks: Webhooks | None) -> AsyncIterator[None]:
    """Call users' webhooks inside this block."""
    if webhooks is None:
        yield
        return
    from gridcwl.service.webhooks import deliver_all

    delivering = asyncio.create_task(deliver_all(webhooks), name="gridcwl-webhooks")
    try:
        yield
    finally:
        delivering.cancel()


@contextmanager
def _held(folder: Path) -> Iterator[None]:
    """Let no other process work on the service's runs.

    Raises:
        ConfigError: one does.
    """
    descriptor = os.open(folder / "lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        yield
    except BlockingIOError:
        raise ConfigError(
            f"Another gridcwl serve works on {folder}", remedy="Stop it, or give this one another --dir."
        ) from None
    finally:
        os.close(descriptor)


def error(status: int, message: str, headers: Any = None) -> JSONResponse:
    """An answer in the form of WES's ErrorResponse."""
    plain = message.encode("utf-8", "replace").decode()  # a client may send half a character
    return JSONResponse({"msg": plain, "status_code": status}, status, headers=headers)


async def _refused(_request: Request, problem: Exception) -> Response:
    assert isinstance(problem, Refused)
    return error(problem.status, problem.message, problem.headers)


async def _http_error(request: Request, problem: Exception) -> Response:
    assert isinstance(problem, HTTPException)
    headers = problem.headers
    if problem.status_code == HTTPStatus.METHOD_NOT_ALLOWED:
        headers = {**(headers or {}), "Allow": ", ".join(sorted(_methods(request)))}
    message = problem.detail if problem.detail != HTTPStatus(problem.status_code).phrase else ""
    return error(problem.status_code, message or f"{HTTPStatus(problem.status_code).phrase}", headers)


def _methods(request: Request) -> set[str]:
    """All methods of the path: each of its routes knows its own only."""
    found: set[str] = set()
    for route in request.app.routes:
        if isinstance(route, Route) and route.matches(request.scope)[0] is not Match.NONE:
            found |= route.methods or set()
    return found


async def _invalid(_request: Request, problem: Exception) -> Response:
    assert isinstance(problem, RequestValidationError)
    first: dict[str, Any] = next(iter(problem.errors()), {})
    where = ".".join(str(part) for part in first.get("loc", ()))
    return error(HTTPStatus.BAD_REQUEST, f"{where}: {first.get('msg', 'the request is malformed')}")


async def _database_error(_request: Request, problem: Exception) -> Response:
    log.error("The database does not answer: %s", getattr(problem, "orig", None) or problem)
    return error(HTTPStatus.INTERNAL_SERVER_ERROR, "The service's database does not answer")


async def _internal_error(_request: Request, _problem: Exception) -> Response:
    return error(HTTPStatus.INTERNAL_SERVER_ERROR, "Internal error")


async def _alive() -> Response:
    return PlainTextResponse("alive\n")


def _ready(request: Request) -> Response:
    service: Service = request.app.state.service
    try:
        service.db.ping()
    except SQLAlchemyError:
        return PlainTextResponse("the database does not answer\n", HTTPStatus.SERVICE_UNAVAILABLE)
    if not service.driver.is_working:
        return PlainTextResponse("no run is worked on: the service ends\n", HTTPStatus.SERVICE_UNAVAILABLE)
    return PlainTextResponse("ready\n")
