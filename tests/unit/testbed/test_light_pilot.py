"""How a job ended is reported to services that were away for a while."""

from __future__ import annotations

import subprocess
import sys
import threading
from pathlib import Path
from types import ModuleType
from typing import Any, ClassVar

import pytest

from gridcwl.testbed.dirac.inside import light_pilot
from gridcwl.testbed.dirac.inside.light_pilot import PilotSlot, SharedState

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
def slot(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> PilotSlot:
    monkeypatch.setattr(light_pilot, "_BETWEEN_REPORTS_S", 0.001)
    ending = threading.Event()
    pilot = SharedState(tmp_path, ending, light_pilot.Accounts(ending))
    return PilotSlot(LOCAL_SITE, threading.Lock(), light_pilot.OwnerProxies(), pilot)


def test_the_last_report_is_sent_until_it_arrives(slot: PilotSlot) -> None:
    report = Report(lost=3)
    slot._commit(report)
    assert report.sent == 4


def test_a_slot_does_not_wait_for_ever(slot: PilotSlot) -> None:
    report = Report(lost=1000)
    slot._commit(report)
    assert report.sent == 15


def test_the_cpu_time_of_a_payload_and_its_children_is_known_when_it_has_ended() -> None:
    busy = "import time\nwhile time.process_time() < 0.2: pass"
    script = f"import subprocess, sys; input(); subprocess.check_call([sys.executable, '-c', {busy!r}])"
    payload = subprocess.Popen([sys.executable, "-c", script], stdin=subprocess.PIPE)
    assert light_pilot._waited(payload, 0) is None
    assert payload.stdin is not None
    payload.stdin.write(b"\n")
    payload.stdin.close()
    ended = light_pilot._waited(payload, 60)
    assert ended is not None
    assert ended.exit_code == 0
    assert ended.cpu_s >= 0.2


def test_an_account_that_the_service_does_not_take_is_sent_again(monkeypatch: pytest.MonkeyPatch) -> None:
    class DataStoreClient:
        taken: ClassVar[list[str]] = []
        answers = iter([False, True])

        def __init__(self) -> None:
            self.records: list[str] = []
            self.disableFailover = lambda: None
            self.addRegister = self.records.append

        def commit(self) -> dict[str, Any]:
            if good := next(self.answers):
                self.taken.extend(self.records)
            return {"OK": good}

    module = ModuleType("DIRAC.AccountingSystem.Client.DataStoreClient")
    module.DataStoreClient = DataStoreClient  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, module.__name__, module)
    accounts = light_pilot.Accounts(threading.Event())
    accounts.add("one")
    accounts.send()
    accounts.add("two")
    accounts.send()
    assert DataStoreClient.taken == ["one", "two"]
