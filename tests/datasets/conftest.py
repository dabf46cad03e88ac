"""A folder with documents, and a fake ESAP gateway with a basket as ESAP's page makes it."""

from __future__ import annotations

from pathlib import Path

import pytest
from documents import Desk

from gridcwl.testbed.fakes.esap import FakeEsap

CART = [
    {"archive": "rucio", "record": {"scope": "CTA_TEST", "name": "run1.simtel.zst", "type": "FILE"}},
    {"archive": "rucio", "record": {"scope": "CTA_TEST", "name": "night 1", "type": "DATASET"}},
    {
        "archive": "apertif",
        "record": {"name": "WSRTA1.MS", "ra": 1.5, "dec": 2.0, "dataProductType": "visibility", "url": "https://alta.example.org/WSRTA1.MS"},
    },
    {"archive": "zooniverse", "catalog": "workflow", "project_id": 1, "workflow_id": 2, "category": "classifications"},
]  # fmt: skip


@pytest.fixture
def desk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Desk:
    folder = tmp_path / "desk"
    folder.mkdir()
    monkeypatch.chdir(folder)
    monkeypatch.setenv("GRIDCWL_STATE_DIR", str(tmp_path / "state"))
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config"))
    monkeypatch.setenv("GRIDCWL_ENGINE", "none")
    for name in ("JUPYTERHUB_API_URL", "JUPYTERHUB_API_TOKEN", "RUCIO_OIDC_FILE_NAME"):
        monkeypatch.delenv(name, raising=False)
    return Desk(folder)


@pytest.fixture
def esap(monkeypatch):
    with FakeEsap({"alice": "token-of-alice"}) as gateway:
        gateway.cart("alice").extend(CART)
        monkeypatch.setenv("ESAP_HOST", gateway.url)
        yield gateway


@pytest.fixture
def token(desk, monkeypatch):
    """A token where ESAP's own client finds it."""
    path = desk.write("token", "token-of-alice\n")
    monkeypatch.setenv("RUCIO_OIDC_FILE_NAME", str(path))
    return path
