"""Jobs for the gateway's front end, as JSON: listed, submitted, shown, stopped, and their results."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from rest_framework.authentication import SessionAuthentication
from rest_framework.permissions import AllowAny
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from gridcwl_esap.apps import service
from gridcwl_esap.client import GridcwlClient, GridcwlError, basket_item
from gridcwl_esap.connector import TOKEN


class _SameOrigin(SessionAuthentication):
    """Django's check of CSRF tokens, also for users that are in the session only."""

    def authenticate(self, request: Request) -> None:
        """Nobody is found out; another site's form is refused."""
        if not _bearer(request):
            self.enforce_csrf(request)


class _View(APIView):
    authentication_classes = (_SameOrigin,)
    permission_classes = (AllowAny,)  # whoever has a token of the service's issuer; the service decides

    def answer(self, request: Request, act: Callable[[GridcwlClient], Any]) -> Response:
        """What the service answers to the request's user."""
        session = getattr(request, "session", None)
        token = _bearer(request) or (session.get(TOKEN) if session is not None else None)
        if not token:
            return Response({"error": "Log in to run workflows"}, 401)
        try:
            return Response(act(service(token)))
        except GridcwlError as error:
            return Response({"error": str(error)}, 400)


class Jobs(_View):
    """The caller's jobs."""

    def get(self, request: Request) -> Response:
        """The latest."""
        return self.answer(request, lambda client: {"results": client.runs()})

    def post(self, request: Request) -> Response:
        """A new one: ``{"workflow": NAME, "inputs": {...}, "name": TEXT, "facility": NAMES}``."""
        given = request.data if isinstance(request.data, dict) else {}
        inputs = given.get("inputs") or {}
        if not isinstance(inputs, dict):
            return Response({"error": "inputs is not a JSON object"}, 400)
        options = {name: str(given.get(name) or "") for name in ("name", "facility")}
        workflow = str(given.get("workflow") or "")
        return self.answer(request, lambda client: client.status(client.submit(workflow, inputs, **options)))


class Job(_View):
    """One job."""

    def get(self, request: Request, job: str) -> Response:
        """How it stands."""
        return self.answer(request, lambda client: client.status(job))

    def delete(self, request: Request, job: str) -> Response:
        """Stop it."""

        def stop(client: GridcwlClient) -> Any:
            client.cancel(job)
            return client.status(job)

        return self.answer(request, stop)


class Results(_View):
    """The output files of a job, each with the item that the shopping basket takes."""

    def get(self, request: Request, job: str) -> Response:
        """All of them."""

        def files(client: GridcwlClient) -> Any:
            return {"results": [{**file, "basket": basket_item(file)} for file in client.results(job)]}

        return self.answer(request, files)


class Capacity(_View):
    """The facilities with what their sites offer, and the catalogue with what workflows need."""

    def get(self, request: Request) -> Response:
        """Both."""
        return self.answer(request, lambda client: {"facilities": client.facilities(), "workflows": client.workflows()})


def _bearer(request: Request) -> str:
    kind, _, token = request.headers.get("Authorization", "").partition(" ")
    return token.strip() if kind.lower() == "bearer" else ""
