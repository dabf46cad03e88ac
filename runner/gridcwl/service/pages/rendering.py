"""Templates, the headers of every page, the tokens of its forms, and errors as pages."""

from __future__ import annotations

import secrets
from collections.abc import Callable, Coroutine
from datetime import UTC, datetime
from hmac import compare_digest
from http import HTTPStatus
from pathlib import Path
from typing import Annotated, Any
from urllib.parse import quote, urlsplit

from fastapi import Depends, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import HTMLResponse, RedirectResponse, Response
from fastapi.routing import APIRoute
from jinja2 import Environment, PackageLoader, StrictUndefined
from starlette.datastructures import FormData

from gridcwl.runs.units import amount, duration
from gridcwl.service.capacity import needs_in_words, offered_in_words
from gridcwl.service.db import Viewer
from gridcwl.service.problems import Forbidden, NotFound, Refused, Unauthenticated
from gridcwl.service.states import State
from gridcwl.service.times import iso
from gridcwl.service.web import Service, service_of, viewer_of

HEADERS = {
    "Content-Security-Policy": "default-src 'none'; style-src 'self'; script-src 'self'; connect-src 'self'; "
    "img-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'",
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "same-origin",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Cache-Control": "no-store",
}
COOKIE = "gridcwl_csrf"
TOKEN = "csrf"  # noqa: S105  the name of the field
_SHORTEST_TOKEN = 32
_WORDS = {State.EXECUTOR_ERROR: "failed", State.CANCELED: "cancelled", State.CANCELING: "cancelling"}
"""States for people, where that is not their name in small letters."""
STATIC = Path(__file__).parents[1] / "static"

TheService = Annotated[Service, Depends(service_of)]
TheViewer = Annotated[Viewer, Depends(viewer_of)]


def shown(text: Any) -> str:
    """Text of tools: control characters are shown, not obeyed."""
    return "".join(sign if sign.isprintable() or sign in "\n\t" else f"\\x{ord(sign):02x}" for sign in str(text))


def _when(seconds: float | None) -> str:
    return "" if seconds is None else datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%d %H:%M:%S UTC")


def _size(size: Any) -> str:
    return amount(size) if isinstance(size, int) and not isinstance(size, bool) else ""


_templates = Environment(
    loader=PackageLoader("gridcwl.service"),
    autoescape=True,
    undefined=StrictUndefined,
    trim_blocks=True,
    lstrip_blocks=True,
)
_templates.filters |= {
    "iso": lambda seconds: "" if seconds is None else iso(seconds),
    "when": _when,
    "span": lambda seconds: "" if seconds is None else duration(max(0.0, seconds)),
    "size": _size,
    "shown": shown,
    "needs": needs_in_words,
    "offered": offered_in_words,
    "word": lambda state: _WORDS.get(state, str(state).replace("_", " ").lower()),
}


def page(request: Request, template: str, status: int = 200, **values: Any) -> HTMLResponse:
    """A template as a response, with the cookie that the tokens of its forms are compared with."""
    token = request.cookies.get(COOKIE, "")
    new = len(token) < _SHORTEST_TOKEN
    if new:
        token = secrets.token_urlsafe(_SHORTEST_TOKEN)
    text = _templates.get_template(template).render(
        csrf=token,
        field=TOKEN,
        here=request.url.path,
        catalogue=_has_catalogue(request),
        session=getattr(request.state, "session", None),
        **values,
    )
    answer = HTMLResponse(text.encode("utf-8", "backslashreplace"), status, headers=HEADERS)
    if new:
        secure = request.url.scheme == "https"
        answer.set_cookie(COOKIE, token, httponly=True, samesite="strict", secure=secure)
    return answer


def _has_catalogue(request: Request) -> bool:
    return bool(service_of(request).settings.catalogue)


def redirect(path: str) -> RedirectResponse:
    """To another page, after a form was sent."""
    return RedirectResponse(path, HTTPStatus.SEE_OTHER, headers={"Cache-Control": "no-store"})


def login_page(request: Request) -> str:
    """The URL at which a browser logs in, and from which it comes back to this request's page."""
    here = request.url.path + (f"?{request.url.query}" if request.url.query else "")
    return f"/login?next={quote(here, safe='')}"


async def checked(request: Request, form: FormData | None = None) -> FormData:
    """The fields of a form of ours.

    Args:
        request: a POST.
        form: its fields, if they have been read.

    Raises:
        Forbidden: another page has sent it, or one whose cookie is gone.
    """
    if request.headers.get("sec-fetch-site", "same-origin") not in ("same-origin", "none"):
        raise Forbidden("A page of another site sent this form")
    origin = request.headers.get("origin")
    if origin is not None and urlsplit(origin).netloc != request.headers.get("host", ""):
        raise Forbidden("A page of another site sent this form")
    fields = await request.form() if form is None else form
    cookie, token = request.cookies.get(COOKIE, ""), fields.get(TOKEN)
    known = len(cookie) >= _SHORTEST_TOKEN and isinstance(token, str)
    if not known or not compare_digest(cookie.encode(), str(token).encode("utf-8", "replace")):
        raise Forbidden("The form has expired. Go back, reload the page, and send it again")
    return fields


async def form_of(request: Request) -> FormData:
    """The fields of a form without files, for routes; see :func:`checked`."""
    return await checked(request)


Form = Annotated[FormData, Depends(form_of)]


class PageRoute(APIRoute):
    """A route whose errors are pages."""

    def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
        """See ``APIRoute``."""
        handle = super().get_route_handler()

        async def handler(request: Request) -> Response:
            try:
                return await handle(request)
            except Unauthenticated as problem:
                if request.method == "GET" and "text/html" in request.headers.get("accept", ""):
                    return redirect(login_page(request))
                raise problem from None
            except Refused as problem:
                if "text/html" not in request.headers.get("accept", "text/html"):
                    raise
                return error_page(request, problem)
            except RequestValidationError:
                return error_page(request, NotFound("There is no such page"))

        return handler


def error_page(request: Request, problem: Refused) -> HTMLResponse:
    """What a request was refused for."""
    answer = page(
        request,
        "error.html",
        problem.status,
        title=HTTPStatus(problem.status).phrase,
        message=problem.message,
        may_submit=False,
    )
    answer.headers.update(problem.headers or {})
    return answer
