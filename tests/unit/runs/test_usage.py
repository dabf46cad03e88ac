"""What runs cost, added up from their journals."""

from __future__ import annotations

import json
import time

import pytest
from commandline import gridcwl
from report_runs import RecordedRun, recorded, usage

from gridcwl.cli.usage import hours
from gridcwl.model import Outcome
from gridcwl.runs.usage import costs


@pytest.fixture
def state(tmp_path):
    return tmp_path / "state"


def test_all_attempts_count_and_failed_ones_are_distinguished(state):
    with recorded(state) as run:
        job = run.add("process", cores=4)
        run.end(job, usage(wall_s=100.0, cpu_s=50.0), Outcome.TEMPORARY_FAILURE)
        run.end(run.again(job), usage(wall_s=200.0, cpu_s=600.0, max_rss_mib=900.0))

    (cost,) = costs(state, "run").groups

    assert (cost.name, cost.jobs, cost.attempts, cost.failed) == (run.folder.run, 1, 2, 1)
    assert (cost.wall_s, cost.core_s, cost.failed_core_s, cost.cpu_s) == (300.0, 1200.0, 400.0, 650.0)
    assert (cost.max_rss_mib, cost.read_bytes) == (900.0, 2_000_000)


def test_a_result_of_another_run_costs_nothing(state):
    with recorded(state) as run:
        run.run("process")
        run.end(run.add("process", reused="run x, process[1]"))
    assert costs(state, "run").total.attempts == 1


def test_jobs_of_earlier_sessions_count_also_if_their_results_were_lost(state):
    run = RecordedRun(state)
    run.end(run.add("process", name="process[1]"), usage(wall_s=10.0))
    run.begin()
    run.end(run.add("process", name="process[1]"), usage(wall_s=20.0))
    run.close()
    assert costs(state, "run").total.wall_s == 30.0


def test_costs_are_added_up_by_step_site_and_tool_the_dearest_first(state):
    for number in (1, 2):
        with recorded(state, name=f"20251129-10000{number}-000001", document="/home/me/wf.cwl") as run:
            run.run("cheap", usage(wall_s=1.0, site="LCG.A"))
            run.run("dear", usage(wall_s=100.0, site="LCG.B"))
            run.run("dear", usage(wall_s=100.0, host="node7"))

    assert [(cost.name, cost.jobs) for cost in costs(state, "step").groups] == [
        ("wf.cwl: dear", 4),
        ("wf.cwl: cheap", 2),
    ]
    assert [cost.name for cost in costs(state, "site").groups] == ["LCG.B", "node7", "LCG.A"]
    assert [(cost.name, cost.wall_s) for cost in costs(state, "tool").groups] == [("x", 402.0)]
    assert len(costs(state, "run").runs) == 2


def test_only_what_ended_since_then_counts(state):
    with recorded(state) as run:
        run.run("process")
    now = time.time()
    assert costs(state, "run", since=now - 3600).total.jobs == 1
    assert costs(state, "run", since=now + 3600).groups == ()


def test_a_record_that_cannot_be_read_is_named_and_the_others_count(state):
    with recorded(state) as run:
        run.run("process")
    with recorded(state, name="20251129-100000-000002") as other:
        other.run("process")
    other.folder.journal.write_bytes(b"nonsense")

    found = costs(state, "run")

    assert (found.total.jobs, found.unreadable) == (1, ("20251129-100000-000002",))


def test_the_command_prints_a_table_and_json(state):
    with recorded(state, document="wf.cwl") as run:
        run.run("process", usage(wall_s=7200.0, cpu_s=3600.0))
        run.run("process", usage(wall_s=7200.0, cpu_s=None))

    table = gridcwl("usage", "--state-dir", str(state)).stdout.splitlines()
    plain = json.loads(gridcwl("usage", run.folder.run, "--by", "step", "--json", "--state-dir", str(state)).stdout)

    assert table[1].split()[:6] == [run.folder.run, "2", "4", "1", "25", "%"]
    assert table[-1] == "1 of 2 attempts have no measured CPU time."
    assert plain["groups"][0]["name"] == "wf.cwl: process"
    assert (plain["total"]["core_s"], plain["total"]["busy"]) == (14400.0, 0.25)


def test_a_date_that_is_none_is_refused(state):
    result = gridcwl("usage", "--since", "yesterday", "--state-dir", str(state))
    assert result.code == 1
    assert "yesterday is neither a date nor a length of time" in result.stderr


@pytest.mark.parametrize(
    ("seconds", "text"), [(0, "0.000"), (1, "< 0.001"), (360, "0.100"), (9000, "2.5"), (4e6, "1,111")]
)
def test_hours_can_be_read(seconds, text):
    assert hours(seconds) == text
