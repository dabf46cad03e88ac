"""The page of sites: what the backend's sites offer, as the backend itself says it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from types import SimpleNamespace
from typing import Any

import pytest
from wes import Wes

from gridcwl.backends.base import QueueOffer, SiteOffer
from gridcwl.backends.dirac import factory
from gridcwl.backends.dirac.plugin import DiracSettings
from gridcwl.backends.dirac.sites import DiracSite, Queue
from gridcwl.errors import BackendError
from gridcwl.service import sites

EVIL = "<img src=x onerror=alert(1)>"


@pytest.fixture(autouse=True)
def forgotten(wes: Wes) -> Iterator[None]:
    """No answer of another test."""
    wes.service.sites._known = None
    yield
    wes.service.sites._known = None


def test_without_a_grid_there_is_this_machine_with_its_cores_and_memory(wes: Wes):
    page = wes.http.get("/sites").text
    assert "local: this machine" in page
    assert "<dt>Cores</dt>" in page
    assert "<dt>Memory</dt>" in page


def test_each_site_has_its_status_its_queues_and_its_storage(wes: Wes, monkeypatch: pytest.MonkeyPatch):
    queue = QueueOffer("ce.example/long", 16, 65536, None, 86400, ("GPU", EVIL), ("BIG",), "el9")
    offers = [
        SiteOffer("LCG.CERN.ch", (queue,), storage=("CERN-DISK",)),
        SiteOffer(EVIL, status="Banned", is_open=False),
    ]
    monkeypatch.setattr(sites.plugins, "call", lambda *_: offers)
    page = wes.http.get("/sites").text
    for text in (
        "LCG.CERN.ch",
        "ce.example/long",
        ">16<",
        "68.7 GB",
        "1 d 0:00:00",
        "el9",
        "BIG",
        "CERN-DISK",
        "Banned",
    ):
        assert text in page, text
    assert "<img src=x" not in page


def test_a_backend_that_does_not_answer_is_named_and_asked_only_now_and_then(wes: Wes, monkeypatch: pytest.MonkeyPatch):
    asked = []

    def fail(*_: Any) -> None:
        asked.append(1)
        raise BackendError(f"DIRAC does not answer {EVIL}", remedy="Try later.")

    monkeypatch.setattr(sites.plugins, "call", fail)
    for _ in range(3):
        page = wes.http.get("/sites").text
        assert "DIRAC does not answer" in page
        assert "<img src=x" not in page
    assert len(asked) == 1


def test_dirac_says_which_sites_jobs_with_these_settings_go_to(monkeypatch: pytest.MonkeyPatch):
    offers = (
        DiracSite("A", (Queue("ce/q", 8, 2048, 3600, ("x",), (), "el9"),), storage=("SE",)),
        DiracSite("B"),
        DiracSite("C"),
        DiracSite("D", status="Banned"),
    )

    @contextmanager
    def server(_name: str) -> Iterator[Any]:
        yield SimpleNamespace(offers=lambda: offers)

    monkeypatch.setattr(factory, "open_server", server)
    found = factory.offers(DiracSettings(sites=("A", "B", "D"), banned=("B",)))
    assert [(one.site, one.status, one.is_open) for one in found] == [
        ("A", "Active", True),
        ("B", "Excluded here", False),
        ("C", "Excluded here", False),
        ("D", "Banned", False),
    ]
    assert found[0].queues == (QueueOffer("ce/q", 8, 2048, None, 3600, ("x",), (), "el9"),)
    assert found[0].storage == ("SE",)
