"""How a job ended is reported to services that were away for a while."""

from __future__ import annotations

import threading
from pathlib import Path
from typing import Any

import pytest

from gridcwl.testbed.dirac.inside import light_pilot
from gridcwl.testbed.dirac.inside.light_pilot import Pilot, Slot

LOCAL_SITE = {
    "Site": "LCG.Lyon.fr",
    "GridCE": "ce",
    "PilotReference": "pilot",
    "NumberOfProcessors": 1,
    "MaxRAM": 1024,
    "CPUTimeLeft": 1000,
}


class Report:
    """A DIRAC JobReport whose first reports reach nobody."""

    def __init__(self, lost: int) -> None:
        self.lost, self.sent = lost, 0

    def commit(self) -> dict[str, Any]:
        self.sent += 1
        return {"OK": self.sent > self.lost, "Message": "Can't connect"}


@pytest.fixture
def slot(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Slot:
    monkeypatch.setattr(light_pilot, "_BETWEEN_REPORTS_S", 0.001)
    return Slot(LOCAL_SITE, threading.Lock(), light_pilot.Owners(), Pilot(tmp_path, threading.Event()))


def test_the_last_report_is_sent_until_it_arrives(slot: Slot) -> None:
    report = Report(lost=3)
    slot._commit(report)
    assert report.sent == 4


def test_a_slot_does_not_wait_for_ever(slot: Slot) -> None:
    report = Report(lost=1000)
    slot._commit(report)
    assert report.sent == 15
