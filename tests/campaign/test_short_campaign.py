"""A short seed of the fault campaign and of its crash points; and what the campaign itself has to be able to see."""

from __future__ import annotations

import json
import tempfile
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest

from campaign import combinations, crash_points, documents, faults, invariants, preload, report, witness
from campaign.clients import Ended
from campaign.invariants import Ledger
from campaign.trials import Bench, Outcome, Plan, Trial

needs_cc = pytest.mark.skipif(not preload.available(), reason="the library that is preloaded is built with cc")
PLANS = (
    Plan(5, "bare", "local", ("client frozen", "worker frozen", "client killed", "clock set", "worker killed")),
    Plan(2, "bare", "rucio", ("Rucio refuses", "Rucio loses its answers", "client killed")),
)


@pytest.fixture(scope="module")
def bench() -> Iterator[Bench]:
    with tempfile.TemporaryDirectory(prefix="gridcwl-campaign-") as folder:
        yield Bench(Path(folder))


@needs_cc
@pytest.mark.parametrize("plan", PLANS, ids=lambda plan: f"{plan.backend}+{plan.store}")
def test_a_disturbed_run_ends_as_an_undisturbed_one(bench: Bench, plan: Plan) -> None:
    with combinations.opened(plan.backend, plan.store, bench.root / f"{plan.backend}+{plan.store}") as place:
        outcome = Trial(bench, place, plan).run()
    assert outcome.violations == [], str(plan)
    assert not outcome.skipped


@needs_cc
def test_a_run_that_is_ended_before_a_system_call_resumes(bench: Bench) -> None:
    points = (30, 140, 213)  # of the journal that is made, of the journal in use, of what is published
    with combinations.opened("bare", "rucio", bench.root / "points") as place:
        for point in points:
            plan = Plan(crash_points.SEED, "bare", "rucio", (), fuzz=False)
            trial = Trial(bench, place, plan, crash_at=(point,))
            assert trial.run().violations == [], trial.crashed_at
            assert trial.crashed_at != [""]


def test_a_seed_gives_the_same_document_again_and_every_tool_is_witnessed(tmp_path: Path) -> None:
    assert documents.generate(7) == documents.generate(7) != documents.generate(8)
    documents.generate(7).write(tmp_path, documents.Witness(tmp_path / "witness"), containers=False)
    tools = list(documents.tools_of(json.loads((tmp_path / "main.cwl").read_text())))
    assert tools
    assert all("witness start" in tool["baseCommand"][2] for tool in tools)


def test_a_job_that_runs_again_although_it_was_recorded_is_seen(tmp_path: Path) -> None:
    class Seen:
        def __init__(self, lines: str, recorded: dict[str, str]) -> None:
            (tmp_path / "witness").write_text(lines)
            self.recorded = lambda: recorded
            self.marks = lambda: witness.read(tmp_path / "witness")

    first, again = "start a 1\nend a 1 0\n", "start a 2\n"
    ledger = Ledger()
    ledger.note(Seen(first, {"shard": "1"}))  # type: ignore[arg-type]
    assert list(ledger.again(Seen(first, {"shard": "1"}), Counter(a=1), {"shard": "1"})) == []  # type: ignore[arg-type]
    found = list(ledger.again(Seen(first + again, {"shard": "2"}), Counter(a=1), {"shard": "2"}))  # type: ignore[arg-type]
    assert len(found) == 2


def test_wrong_exit_codes_and_messages_are_seen() -> None:
    def told(code: int, stderr: str) -> list[str]:
        return list(invariants.ended_right(Ended(code, "", stderr), (0, 1), resumable=True))

    assert told(1, "gridcwl: No space is left. Then run: gridcwl resume x") == []
    assert told(0, "") == []
    assert len(told(2, "gridcwl resume x")) == 1
    assert len(told(1, "gridcwl: it failed")) == 1
    assert len(told(1, "Traceback (most recent call last)\ngridcwl resume x")) == 1


def test_other_bytes_in_an_output_are_seen() -> None:
    value = {"o": [{"class": "File", "location": "l", "basename": "o.txt", "size": 1}]}
    assert invariants.content(value, lambda _: b"a") == invariants.content(value, lambda _: b"a")
    assert invariants.content(value, lambda _: b"a") != invariants.content(value, lambda _: b"b")
    assert "wrong size" in str(invariants.content(value, lambda _: b"ab"))


def test_a_plan_is_read_back_from_its_text() -> None:
    assert [Plan.parsed(str(plan)) for plan in PLANS] == list(PLANS)
    assert all(name in faults.BY_NAME for plan in PLANS for name in plan.faults)


def test_the_page_counts_faults_and_violations() -> None:
    outcome = Outcome(PLANS[0], Counter({"client killed": 2}), [("client killed", "other outputs")], 1.0)
    point = json.loads(report.line_of_point("bare + local", 3, "journal", "write journal.db", []))
    page = report.page([json.loads(report.line_of(outcome))], [point], "2026-01-01")
    assert "2 faults in 1 runs, with seeds 5 to 5; 1 violations" in page
    assert "| client killed | 2 / 1 | 2 / 1 |" in page
    assert "| bare + local | 1 / 0 |" in page
