"""Reports from journals: usage of steps, suggestions, failures, files, rows for each job."""

from __future__ import annotations

import asyncio
import csv
import json
from itertools import pairwise
from pathlib import Path

import pytest
from report_runs import RecordedRun, recorded, usage

from gridcwl.engine.graph import Leaf, Sink, Step, Workflow
from gridcwl.errors import ConfigError, OutputError, StoreError
from gridcwl.model import Outcome
from gridcwl.runs.outline import outline_of, read_outline
from gridcwl.runs.record.counts import StepCounts, combine
from gridcwl.runs.report import report_of, report_with_replicas
from gridcwl.runs.report.advice import rounded_up
from gridcwl.runs.report.graph_svg import picture
from gridcwl.runs.report.layout import collapsed, laid_out
from gridcwl.runs.report.model import spread

RCHAR = 1_000_000


@pytest.fixture
def state(tmp_path):
    return tmp_path / "state"


def suggestions(state, used, number=1, **resources):
    with recorded(state) as run:
        for _ in range(number):
            run.run("process", used, **resources)
    return report_of(run.folder).suggestions


# -- usage and suggestions ---------------------------------------------------------------------------------------------


def test_a_step_has_what_its_jobs_requested_and_used(state):
    with recorded(state) as run:
        for minutes in (1, 2, 3):
            run.run("process", usage(wall_s=60.0 * minutes, max_rss_mib=100.0 * minutes), ram_mib=4096, cores=2)

    (step,) = report_of(run.folder).steps

    assert (step.requested.cores, step.requested.ram_mib, step.requested.disk_mib) == (
        (2, 2),
        (4096, 4096),
        (2048, 2048),
    )
    assert (step.wall_s.least, step.wall_s.median, step.wall_s.most) == (60.0, 120.0, 180.0)
    assert step.max_rss_mib.most == 300.0
    assert step.read_bytes.total == 3 * RCHAR
    assert step.core_s == 720.0


def test_attempts_that_failed_cost_something_but_say_nothing_of_what_a_job_needs(state):
    with recorded(state) as run:
        job = run.add("process", ram_mib=500)
        run.end(job, usage(wall_s=10.0, max_rss_mib=499.0), Outcome.OUT_OF_MEMORY)
        run.end(run.again(job, ram_mib=1000), usage(wall_s=20.0, max_rss_mib=700.0))

    (step,) = report_of(run.folder).steps

    assert (step.attempts, step.core_s) == (2, 30.0)
    assert (step.max_rss_mib.least, step.requested.ram_mib) == (700.0, (500, 1000))


def test_much_memory_that_was_not_used_is_pointed_out(state):
    assert suggestions(state, usage(max_rss_mib=480.2), ram_mib=4096, cores=1) == (
        "`process` requested 4096 MiB and used 480 MiB: set `ramMin: 600`",
    )


def test_memory_beyond_the_request_is_pointed_out(state):
    (text,) = suggestions(state, usage(max_rss_mib=480.0), number=3)
    assert text == (
        "`process` requested 256 MiB and used 480 MiB at most, in 3 jobs, which a site may not allow: set `ramMin: 600`"
    )


def test_idle_and_missing_cores_are_pointed_out(state):
    (idle,) = suggestions(state / "1", usage(cpu_s=66.0, max_rss_mib=200.0), cores=8)
    (missing,) = suggestions(state / "2", usage(cpu_s=220.0, max_rss_mib=200.0), cores=1)

    assert idle == "`process` requested 8 cores and kept 1.1 busy: set `coresMin: 2`"
    assert missing == "`process` requested 1 core and kept 3.7 busy: set `coresMin: 4`"


def test_time_and_disk_are_compared_as_well(state):
    used = usage(wall_s=600.0, cpu_s=590.0, max_rss_mib=200.0, disk_bytes=300 << 20)

    time, disk = suggestions(state, used, time_limit_s=86400, out_mib=10240, tmp_mib=10240)[::-1]

    assert time == (
        "`process` may run for 86400 s and took up to 600 s: set `timelimit: 900`, which lets a site start it earlier"
    )
    assert disk == (
        "`process` requested 20480 MiB of disk space and used 300 MiB: "
        "380 MiB would do for `outdirMin` and `tmpdirMin` together"
    )


def test_jobs_that_use_what_they_requested_need_no_suggestion(state):
    assert suggestions(state, usage(max_rss_mib=200.0), ram_mib=256) == ()


def test_jobs_that_were_not_measured_need_no_suggestion(state):
    nothing = usage(cpu_s=None, max_rss_mib=None, read_bytes=None, written_bytes=None, disk_bytes=None)
    assert suggestions(state, nothing, ram_mib=100_000, cores=64) == ()


@pytest.mark.parametrize(
    ("number", "rounded"), [(0, 10), (8, 10), (587, 590), (600, 600), (1234, 1300), (98_765, 99_000)]
)
def test_suggested_numbers_are_round(number, rounded):
    assert rounded_up(number) == rounded


def test_a_spread_has_the_numbers_of_its_values():
    found = spread([float(number) for number in range(1, 101)])
    assert (found.least, found.median, found.p95, found.most, found.count) == (1.0, 50.0, 95.0, 100.0, 100)
    assert spread([]) is None


# -- the run -----------------------------------------------------------------------------------------------------------


def test_a_report_of_an_active_run_has_what_runs_now(state):
    run = RecordedRun(state)
    run.run("process")
    running = run.add("process")
    run.journal.started(1 << 32 | 2, 1, "node7", "")
    run.journal.flush()

    with run.folder.held():
        report = report_of(run.folder)

    assert report._details.about["state"] == "running"
    (bar,) = [bar for bar in report._details.bars if bar.outcome == "running"]
    assert (bar.name, report._details.sites[bar.site]) == (running.name, "node7")
    assert 'http-equiv="refresh"' in report.html()


def test_failures_are_grouped_with_the_words_of_the_tool(state):
    with recorded(state, "failed") as run:
        for _ in range(3):
            job = run.add("process")
            run.end(
                job, None, Outcome.PERMANENT_FAILURE, reason="The tool ended with exit code 3.", stderr_tail="bad <b>\n"
            )

    report = report_of(run.folder)

    (failure,) = report._details.failures
    assert (failure.count, failure.exit_code, failure.stderr) == (3, 3, "bad <b>")
    assert "bad &lt;b&gt;" in report.html()
    assert "bad <b>" not in report.html()


def test_results_of_earlier_sessions_and_of_other_runs_are_distinguished(state):
    run = RecordedRun(state)
    first = run.run("process")
    run.begin()
    run.journal.take(1 << 32 | 1, "process", first.name, finished=True)
    run.end(run.add("process", reused="run 20251101-000000-000000, process[7]", name="process[7]"))
    run.run("process")
    run.close()

    report = report_of(run.folder)

    (step,) = report.steps
    assert (step.resumed, step.cached, step.counts.done) == (1, 1, 3)
    assert report._details.origins == {"20251101-000000-000000": 1}
    assert "20251101-000000-000000" in report.html()


def test_inputs_and_outputs_are_listed_with_their_dids_and_checksums(state):
    raw = {"class": "File", "location": "rucio://cta/run1.fits", "size": 2_000_000}
    image = {"class": "File", "location": "file:///out/a%20b.fits", "size": 10, "checksum": "sha1$ab"}
    with recorded(state, inputs={"raw": [raw], "title": "Crab"}, outputs={"image": image}) as run:
        run.run("process")

    details = report_of(run.folder)._details

    (file,) = details.inputs.files
    assert (file.name, file.place, file.size) == ("raw", "rucio://cta/run1.fits", 2_000_000)
    assert [(value.name, value.text) for value in details.inputs.values] == [("title", "Crab")]
    assert (details.outputs.files[0].place, details.outputs.files[0].checksum) == ("/out/a b.fits", "sha1$ab")


# -- the page ----------------------------------------------------------------------------------------------------------


def test_a_page_needs_nothing_else_and_runs_nothing(state):
    hostile = "<script>alert(1)</script>"
    with recorded(state, "failed", inputs={hostile: hostile}, document=hostile, graph=[{"step": hostile}]) as run:
        job = run.add(hostile)
        run.end(job, usage(host=hostile), Outcome.PERMANENT_FAILURE, reason=f"{hostile}\x1b[2J", stderr_tail=hostile)

    page = report_of(run.folder).html()

    assert "<script" not in page
    assert "\x1b" not in page
    assert "default-src 'none'" in page
    assert "http://" not in page
    assert "https://" not in page
    assert " src=" not in page


def test_the_page_of_many_jobs_is_small(state):
    with recorded(state, graph=[{"step": f"s{number}"} for number in range(20)]) as run:
        inputs = {"files": [{"class": "File", "location": f"rucio://cta/run{number}"} for number in range(10_000)]}
        run.journal.describe({"inputs": inputs})
        for number in range(3000):
            run.end(run.add(f"s{number % 20}"), usage(at=number, site=f"SITE{number % 30}"))

    report = report_of(run.folder)

    assert len(report.html()) < 1_000_000
    assert sum(step.counts.done for step in report.steps) == 3000
    assert not any(bar.name for bar in report._details.bars)
    assert "and 9,800 more" in report.html()


def test_a_report_shows_itself_in_jupyter(state):
    with recorded(state) as run:
        run.run("process")
    assert report_of(run.folder)._repr_html_().startswith('<iframe src="data:text/html;base64,')


# -- rows and JSON -----------------------------------------------------------------------------------------------------


def test_the_table_has_one_row_for_each_job(state):
    with recorded(state) as run:
        job = run.add("process", ram_mib=512, cores=2)
        run.end(job, usage(site="LCG.X", batch_job="42"), Outcome.TEMPORARY_FAILURE, reason="Line one.\nLine\ttwo.")
        run.end(run.again(job), usage(wall_s=10.0, cpu_s=5.0, site="LCG.Y", batch_job="43"), image="debian@sha256:1")
        run.add("process")

    first, second = csv.DictReader(report_of(run.folder).tsv().splitlines(), delimiter="\t")

    assert (first["name"], first["status"], first["attempts"], first["native_id"]) == (
        "process[1]",
        "success",
        "2",
        "43",
    )
    assert (first["memory"], first["cpus"], first["peak_rss"]) == (str(512 << 20), "2", str(480 << 20))
    assert (first["%cpu"], first["realtime_s"], first["start"]) == ("50", "10", "2025-11-29T10:00:00.000Z")
    assert (first["site"], first["digest"], first["rchar"]) == ("LCG.Y", "debian@sha256:1", str(RCHAR))
    assert (second["status"], second["exit"], second["realtime_s"]) == ("waiting", "", "")


def test_a_reason_of_several_lines_stays_in_its_row(state):
    with recorded(state, "failed") as run:
        run.end(run.add("process"), None, Outcome.PERMANENT_FAILURE, reason="one\ntwo\tthree")

    (row,) = csv.DictReader(report_of(run.folder).tsv().splitlines(), delimiter="\t")

    assert row["reason"] == "one two three"


def test_json_has_the_run_its_steps_and_every_job(state):
    with recorded(state) as run:
        run.run("process", ram_mib=4096)
        run.run("process", ram_mib=4096)

    plain = json.loads(report_of(run.folder).json())

    assert (plain["format"], plain["state"], len(plain["jobs"])) == ("gridcwl-report/1", "success", 2)
    assert plain["steps"][0]["used"]["max_rss_mib"]["most"] == 480.0
    assert plain["suggestions"][0].endswith("set `ramMin: 600`")
    assert plain["jobs"][0]["name"] == "process[1]"


def test_a_report_is_saved_in_the_format_of_its_name(state, tmp_path):
    with recorded(state) as run:
        run.run("process")
    report = report_of(run.folder)

    assert report.save(tmp_path / "r.html").read_text().startswith("<!DOCTYPE html>")
    assert report.save(tmp_path / "r.tsv").read_text().startswith("task_id\t")
    assert json.loads(report.save(tmp_path / "r.json").read_text())["run"] == run.folder.run
    assert report.save(tmp_path / "trace.txt", "tsv").read_text().startswith("task_id\t")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["r.html", "r.json", "r.tsv", "state", "trace.txt"]


def test_a_report_that_cannot_be_written_is_an_error(state, tmp_path):
    with recorded(state) as run:
        run.run("process")
    report = report_of(run.folder)

    with pytest.raises(OutputError, match=r"cannot be written to .*: No such file or directory"):
        report.save(tmp_path / "missing" / "r.html")
    with pytest.raises(ConfigError, match="pdf is not a format of reports"):
        report.save(tmp_path / "r", "pdf")


# -- the picture of the workflow ---------------------------------------------------------------------------------------


def inner() -> Workflow:
    steps = (
        Step("a", Leaf("tool"), (Sink("x", ("x",)),), ("y",)),
        Step("b", Leaf("tool"), (Sink("x", ("a/y",)),), ("y",)),
    )
    return Workflow("inner", ("x",), steps, (Sink("y", ("b/y",)),))


def test_links_lead_through_sub_workflows_to_their_tools():
    steps = (
        Step("last", Leaf("tool", "expression"), (Sink("x", ("sub/y", "first/y")),), when="$(true)"),
        Step("sub", inner(), (Sink("x", ("first/y",)),), ("y",), scatter=("x",)),
        Step("first", Leaf("tool"), (Sink("x", ("i",)),), ("y",)),
    )

    outline = {step.name: step for step in read_outline(outline_of(Workflow("wf", ("i",), steps)))}

    assert list(outline) == ["first", "sub", "sub/a", "sub/b", "last"]
    assert outline["sub/a"].after == ("first",)
    assert outline["sub/b"].after == ("sub/a",)
    assert outline["last"].after == ("sub/b", "first")
    assert (outline["last"].kind, outline["last"].conditional, outline["sub"].scattered) == ("expression", True, True)


def test_sub_workflows_are_drawn_as_one_where_there_are_too_many_steps():
    steps = (Step("one", inner(), (), ("y",)), Step("two", inner(), (Sink("x", ("one/y",)),), ("y",)))
    outline = read_outline(outline_of(Workflow("wf", (), steps)))

    assert collapsed(outline, 2) == ({"one": ["one/a", "one/b"], "two": ["two/a", "two/b"]}, [("one", "two")])
    assert list(collapsed(outline, 4)[0]) == ["one/a", "one/b", "two/a", "two/b"]


def test_steps_of_a_sub_workflow_that_was_skipped_are_drawn_as_skipped():
    steps = (Step("one", inner(), (), ("y",), when="$(false)"),)
    outline = read_outline(outline_of(Workflow("wf", (), steps)))
    (skipped,) = combine([], [{"step": "one", "workflow": True, "total": 1, "skipped": 1}], {}, alive=False)
    drawn = picture(outline, {"one": skipped, "one/a": StepCounts("one/a")})
    assert drawn.count("1 skipped") >= 2
    assert "waiting" not in drawn


def test_steps_are_below_those_that_they_wait_for():
    layout = laid_out(["a", "b", "c", "d"], [("a", "c"), ("c", "d"), ("b", "d")])
    assert layout.layers == (("a", "b"), ("c",), ("d",))


def test_a_long_chain_and_a_circle_in_a_damaged_outline_are_drawn():
    names = [str(number) for number in range(3000)]
    assert len(laid_out(names, list(pairwise(names))).layers) == 3000
    assert laid_out(["a", "b"], [("a", "b"), ("b", "a")]).layers


def test_a_journal_without_an_outline_has_no_picture(tmp_path: Path):
    with recorded(tmp_path / "state") as run:
        run.run("process")
    assert 'class="graph"' not in report_of(run.folder).html()


def test_files_have_the_replicas_that_rucio_reports_now(state, monkeypatch):
    raw = {"class": "File", "location": "rucio://cta/run1.fits", "size": 2}
    with recorded(state, inputs={"raw": raw}) as run:
        run.run("process")

    async def replicas_of(urls):
        return dict.fromkeys(urls, ("CNAF-DISK", "LYON-TAPE"))

    monkeypatch.setattr("gridcwl.runs.record.data.replicas_of", replicas_of)
    report = asyncio.run(report_with_replicas(run.folder))

    assert report._details.inputs.files[0].replicas == ("CNAF-DISK", "LYON-TAPE")
    assert "CNAF-DISK, LYON-TAPE" in report.html()


def test_a_store_that_does_not_answer_leaves_a_note(state, monkeypatch):
    with recorded(state) as run:
        run.run("process")

    async def stored(_history):
        raise StoreError("Rucio does not answer")

    monkeypatch.setattr("gridcwl.runs.record.data.stored_data", stored)
    report = asyncio.run(report_with_replicas(run.folder))

    assert "could not be queried: Rucio does not answer." in report.html()


def test_what_failed_before_any_job_was_made_is_shown(state):
    with recorded(state, "failed") as run:
        run.journal.failed("tool", "tool", None, "An expression failed.", alike="An expression failed.")

    assert "An expression failed." in report_of(run.folder).html()
