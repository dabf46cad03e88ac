"""What a job that uses Rucio is given: which of its sources credentials may be sent to."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest
from worker_builders import Bench

from gridcwl.config import parsed
from gridcwl.errors import ConfigError
from gridcwl.model import Job, JobId, RunId, StagedFile, Storage, StorageElement
from gridcwl.model.codec import to_plain
from gridcwl.worker.control import Control
from gridcwl.worker.layout import Layout
from gridcwl.worker.options import WorkerOptions, complete
from gridcwl.worker.stage import Staging

SE = StorageElement("SE", ("davs://se.org:1094/rucio/",))
JOB = Job(
    JobId("run-1-1"), RunId("run"), "step", ("true",), storage=Storage("user.x", "run.step.j1-1.", (SE,), "rucio"),
    trusted=("davs://named.org/vo/",),
)  # fmt: skip


def trusts(bench: Bench, entry: StagedFile, url: str) -> bool:
    plain = complete(json.loads(json.dumps(to_plain(replace(JOB, staged=(entry,))))))
    staging = Staging(plain, Layout(str(bench.workdir), plain["directories"], bare=True), WorkerOptions(), Control())
    return staging._trusted(plain["staged"][0], plain["storage"]["elements"]).covers(url)


@pytest.fixture
def bench(tmp_path) -> Bench:
    return Bench(tmp_path)


@pytest.mark.parametrize(
    ("location", "url", "trusted"),
    [
        ("rucio://s/x", "davs://pool.org/x", True),
        ("rucio://s/x", "davs://pool.org/y", False),
        ("rucio://s/x", "davs://se.org:1094/rucio/a", True),
        ("", "davs://pool.org/x", False),
        ("davs://pool.org/x", "davs://pool.org/x", False),
        ("", "davs://se.org:1094/rucio/a", True),
        ("", "davs://se.org:1094/other", False),
        ("", "https://named.org/vo/a", True),
        ("", "https://named.org/other", False),
    ],
)
def test_credentials_follow_what_rucio_and_the_configuration_name(bench, location: str, url: str, trusted: bool):
    entry = StagedFile("/gridcwl/in/x", "file", ("davs://pool.org/x",), location=location)
    assert trusts(bench, entry, url) is trusted


def test_trusted_storage_is_read_from_the_configuration_and_has_to_be_storage(tmp_path):
    read = parsed('trusted_storage = ["davs://se.org/vo/"]', tmp_path / "c.toml")
    assert read.trusted_storage == ("davs://se.org/vo/",)
    for wrong in ('["http://se.org/"]', "[1]"):
        with pytest.raises(ConfigError, match="list of storage URLs"):
            parsed(f"trusted_storage = {wrong}", tmp_path / "c.toml")
