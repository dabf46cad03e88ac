"""The Django app that an ESAP gateway installs: it puts the connector, the facilities and the jobs in their places."""

from __future__ import annotations

import importlib
from typing import Any

from django.apps import AppConfig
from django.conf import settings
from django.core.exceptions import ImproperlyConfigured

from gridcwl_esap import batch
from gridcwl_esap.client import GridcwlClient, GridcwlError
from gridcwl_esap.connector import concordia_connector


def service(token: str | None = None) -> GridcwlClient:
    """A client of the service that ``GRIDCWL_URL`` of the gateway's settings names."""
    return GridcwlClient(settings.GRIDCWL_URL, token, verify=getattr(settings, "GRIDCWL_CA", True))


class GridcwlConfig(AppConfig):
    """``INSTALLED_APPS += ["gridcwl_esap.apps.GridcwlConfig"]``, behind ``query`` and ``batch``."""

    name = "gridcwl_esap"
    verbose_name = "gridcwl"

    def ready(self) -> None:
        """Take the stub's place."""
        try:
            service()
        except (AttributeError, GridcwlError) as error:
            raise ImproperlyConfigured(f"GRIDCWL_URL, the URL of the gridcwl service: {error}") from None
        stub: Any = importlib.import_module("query.api.services.concordia")
        stub.concordia_connector = concordia_connector
        controller: Any = importlib.import_module("batch.api.services.batch_controller")
        models: Any = importlib.import_module("batch.models")
        facilities, workflows = controller.search_facilities, controller.search_workflows

        def search_facilities(keyword: str | None = "", objectclass: str = "") -> list[Any]:
            own = facilities(keyword=keyword, objectclass=objectclass)
            return batch.search_facilities(own, service(_token()), models.Facility, keyword)

        def search_workflows(keyword: str | None = "", objectclass: str = "") -> dict[str, Any]:
            own = workflows(keyword=keyword, objectclass=objectclass)
            return batch.search_workflows(own, service(_token()), keyword)

        controller.search_facilities, controller.search_workflows = search_facilities, search_workflows


def _token() -> str | None:
    """A token of the gateway itself, for the lists that everybody sees; None if the service needs none."""
    file = getattr(settings, "GRIDCWL_TOKEN_FILE", None)
    if not file:
        return None
    with open(file, encoding="utf-8") as stream:  # noqa: PTH123
        return stream.readline().strip()
