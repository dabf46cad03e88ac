"""All portions of a production are in one container of Rucio, with metadata."""

from __future__ import annotations

import asyncio

import pytest
from rucio_builders import client_of, fake_server

from gridcwl.stores.rucio import run_store


@pytest.mark.parametrize(
    ("runs", "container"),
    [
        (("run1", "run2"), "mc"),
        (("/ctao.org/user/r/runner/run1", "/ctao.org/user/r/runner/run2"), "/ctao.org/user/r/runner/mc"),
    ],
)
def test_the_container_of_a_production_holds_those_of_its_runs(tmp_path, monkeypatch, runs, container):
    fake = fake_server(tmp_path)
    server = fake.client("runner")
    monkeypatch.setattr(run_store, "RucioClient", lambda: client_of(lambda: fake.client("runner"))[0])
    for run in runs:
        server.add_container("user.runner", run)
        for _ in range(2):  # it may be done again
            about = {"container": f"user.runner:{run}"}
            asyncio.run(run_store.collect(about, "mc", {"production": "mc", "document": "sim.cwl"}))
    assert sorted(one["name"] for one in server.list_content("user.runner", container)) == sorted(runs)
    assert server.get_metadata("user.runner", container, plugin="JSON")["production"] == "mc"
