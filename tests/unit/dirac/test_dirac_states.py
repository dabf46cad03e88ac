"""What states mean, when to ask again, and what comes out of a sandbox or its absence."""

from __future__ import annotations

import base64
import json

import pytest
from archives import tar_gz
from dirac_builders import a_job

from gridcwl.backends.batch.poller import Pace
from gridcwl.backends.batch.states import Phase, Tracked
from gridcwl.backends.dirac import jdl, results
from gridcwl.backends.dirac.problems import DiracCredential, DiracRefused, DiracUnreachable, problem
from gridcwl.backends.dirac.results import JobStatus
from gridcwl.backends.dirac.states import phase
from gridcwl.model import Outcome


@pytest.mark.parametrize(
    ("status", "meant"),
    [
        ("Submitting", Phase.WAITING), ("Waiting", Phase.WAITING), ("Rescheduled", Phase.WAITING),
        ("Matched", Phase.WAITING), ("Running", Phase.RUNNING), ("Completing", Phase.RUNNING),
        ("Stalled", Phase.STALLED), ("Done", Phase.ENDED), ("Failed", Phase.ENDED), ("Killed", Phase.ENDED),
        ("Deleted", Phase.GONE), (None, Phase.GONE), ("NewInAVersionToCome", Phase.WAITING),
    ],
)  # fmt: skip
def test_every_state_means_something(status, meant):
    assert phase(status) is meant


def test_a_stalled_job_has_time_to_come_back():
    watched = Tracked(phase, "Submitting")
    watched.see(("Stalled", "", ""), now=100)
    assert watched.verdict(150, patience_s=60) is Phase.STALLED
    assert watched.verdict(161, patience_s=60) is Phase.GONE
    watched.see(("Running", "", ""), now=170)
    watched.see(("Stalled", "", ""), now=180)
    assert watched.verdict(190, patience_s=60) is Phase.STALLED


def test_a_job_is_lost_when_dirac_has_not_known_it_several_times():
    watched = Tracked(phase, "Running")
    watched.see(None, 1)
    watched.see(None, 2)
    assert watched.verdict(2, patience_s=60) is Phase.RUNNING
    watched.see(None, 3)
    assert watched.verdict(3, patience_s=60) is Phase.GONE


def test_a_rescheduled_job_waits_again():
    watched = Tracked(phase, "Running")
    assert watched.see(("Rescheduled", "", ""), 1)
    assert watched.verdict(1, patience_s=60) is Phase.WAITING


def test_dirac_is_asked_less_often_where_nothing_happens():
    pace = Pace(1.0, 10.0, growth=2.0)
    waits = [pace.next(changed=False, took_s=0.01) for _ in range(6)]
    assert waits == [2, 4, 8, 10, 10, 10]
    assert pace.next(changed=True, took_s=0.01) == 1


def test_asking_takes_a_small_part_of_the_server_s_time():
    assert Pace(1.0, 30.0).next(changed=True, took_s=0.5) == 10


# -- results -------------------------------------------------------------------------------------------------------

PLACE = JobStatus(42, "Failed", "Application Finished With Errors", "Unknown", "LCG.Lyon.fr")


def sandbox(job, result: dict, **more: bytes) -> bytes:
    inner = tar_gz({f"{job.id}/result.json": json.dumps(result).encode(), **more})
    return tar_gz({jdl.RESULTS: inner, "std.err": b"worker's words\n"})


def test_a_failure_reports_where_it_was_and_keeps_the_tool_s_output(tmp_path):
    job = a_job()
    content = sandbox(
        job,
        {"id": job.id, "outcome": "permanent-failure", "exit_code": 3, "reason": "It broke.", "stderr_tail": "ouch\n"},
        **{f"{job.id}/stderr.log": b"ouch\n"},
    )
    result = results.result_of(job, results.opened(content), PLACE, tmp_path)
    assert result.reason == "It broke. [DIRAC job 42: Failed, Application Finished With Errors, at LCG.Lyon.fr]"
    assert (result.exit_code, result.stderr_tail) == (3, "ouch\n")
    assert (tmp_path / "stderr.log").read_text() == "ouch\n"


@pytest.mark.parametrize("content", [None, b"", b"no archive", tar_gz({"std.err": b"no python here\n"})])
def test_a_job_without_a_result_may_be_tried_again(content, tmp_path):
    result = results.result_of(a_job(), results.opened(content), PLACE, tmp_path)
    assert result.outcome is Outcome.TEMPORARY_FAILURE
    assert "DIRAC job 42" in result.reason
    if content and b"no archive" not in content:
        assert result.stderr_tail == "no python here\n"


def test_a_job_that_somebody_killed_is_not_tried_again(tmp_path):
    place = JobStatus(42, "Killed", "Marked for termination")
    result = results.result_of(a_job(), results.opened(None), place, tmp_path)
    assert result.outcome is Outcome.PERMANENT_FAILURE
    assert "Somebody killed it" in result.reason


def test_a_result_of_another_job_is_not_taken(tmp_path):
    content = sandbox(a_job(1), {"id": a_job(2).id, "outcome": "success"})
    result = results.result_of(a_job(1), results.opened(content), PLACE, tmp_path)
    assert result.outcome is Outcome.TEMPORARY_FAILURE


@pytest.mark.parametrize("member", ["out/../../../evil", "out//evil", "out/a/../../b"])
def test_an_archive_with_a_member_that_climbs_out_of_its_folder_is_refused(tmp_path, member):
    job = a_job()
    listed = [{"path": "a", "kind": "file", "location": "sandbox:a", "size": 1}]
    content = sandbox(
        job,
        {"id": job.id, "outcome": "success", "files": listed, "outdir": "sandbox:"},
        **{f"{job.id}/out/a": b"a", f"{job.id}/{member}": b"e"},
    )
    result = results.result_of(job, results.opened(content), PLACE, tmp_path / "deep" / "job")
    assert result.outcome is Outcome.TEMPORARY_FAILURE
    assert "The results archive: a member's name is refused" in result.reason
    assert [path.name for path in tmp_path.rglob("*") if path.is_file()] == ["stderr.log"]


# -- reports -------------------------------------------------------------------------------------------------------


def line(*jobs, site: str = "LCG.Lyon.fr") -> str:
    made = {f"{job.id}/result.json": json.dumps({"id": job.id, "outcome": "success"}).encode() for job in jobs}
    return f"{results.REPORT} {site} {base64.b64encode(tar_gz(made)).decode()}"


def test_a_small_result_is_read_from_the_last_line_of_a_job(tmp_path):
    job = a_job()
    report = results.reported(f"Last 20 lines:\nwhat the start script says\n{line(job)}\n", [job.id])
    assert report.site == "LCG.Lyon.fr"
    assert results.result_of(job, report.contents, PLACE, tmp_path).outcome is Outcome.SUCCESS


@pytest.mark.parametrize(
    "text", ["", "hello\n", line(a_job())[:-40], line(a_job()).replace("A", "B"), line(a_job(2)), "gridcwl-results x y"]
)
def test_a_report_that_is_cut_damaged_or_about_another_job_is_none(text):
    assert results.reported(text, [a_job().id]) is None


def test_a_report_about_only_some_of_a_job_s_jobs_is_none():
    assert results.reported(line(a_job(1)), [a_job(1).id, a_job(2).id]) is None


def test_people_do_not_see_the_line():
    assert results.without_report(f"hello\n{line(a_job())}") == "hello\n"


# -- problems ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("message", "kind"),
    [
        ("No proxy found", DiracCredential),
        ("PEM file /tmp/x has expired, not valid after 2026-11-23 02:11:43", DiracCredential),
        ("('127.0.0.1', 19999) [Errno 111] Connection refused:ConnectionRefusedError(111)", DiracUnreachable),
        ("DNS lookup failed gaierror(-2, 'Name or service not known')", DiracUnreachable),
        ("URL for service WorkloadManagement/JobMonitoring not found", DiracRefused),
        ("jobType 'Nonsense' is not allowed for this kind of user", DiracRefused),
    ],
)
def test_messages_of_dirac_are_distinguished(message, kind):
    assert type(problem("asking", message)) is kind


def test_a_message_that_holds_everything_is_cut():
    assert len(problem("asking", "x" * 10**6).message) < 600
