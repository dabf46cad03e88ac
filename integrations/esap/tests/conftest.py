"""A gateway's sources, which ``ESAP_GATEWAY`` names, with the plug-in installed as its README has it."""

from __future__ import annotations

import os
import sys
import tempfile
import types
from pathlib import Path

import pytest

GATEWAY = os.environ.get("ESAP_GATEWAY", "")
collect_ignore = [] if GATEWAY else ["test_in_the_gateway.py"]


def pytest_configure() -> None:
    if not GATEWAY:
        return
    sources = Path(GATEWAY).absolute()
    sys.path[:0] = [str(sources), str(Path(__file__).parents[1] / "src")]
    os.environ["DJANGO_SETTINGS_MODULE"] = "esap.settings.test"
    os.environ["DJANGO_ALLOW_ASYNC_UNSAFE"] = "1"
    from django.conf import settings

    folder = tempfile.mkdtemp(prefix="esap-gateway-")
    settings.DATABASES["default"]["NAME"] = f"{folder}/esap.sqlite3"
    settings.DATABASE_ROUTERS = []
    settings.GRIDCWL_URL = os.environ["GRIDCWL_URL"]
    settings.INSTALLED_APPS += ["gridcwl_esap.apps.GridcwlConfig"]
    settings.API_VERSION = getattr(settings, "API_VERSION", "test")
    settings.SESSION_ENGINE = "django.contrib.sessions.backends.cache"
    settings.MIDDLEWARE = [one for one in settings.MIDDLEWARE if "SessionRefresh" not in one]
    import django

    # the version that the gateway pins cannot be installed any more; Zenodo and OSSR are not queried here
    api = types.ModuleType("eossr.api")
    api.get_zenodo_records = api.get_ossr_records = lambda **_: []  # type: ignore[attr-defined]
    sys.modules |= {"eossr": types.ModuleType("eossr"), "eossr.api": api}
    django.setup()


@pytest.fixture(scope="session", autouse=True)
def database() -> None:
    if not GATEWAY:
        pytest.skip("ESAP_GATEWAY names no gateway's sources")
    from django.core.management import call_command

    call_command("migrate", run_syncdb=True, verbosity=0)
