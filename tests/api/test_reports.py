"""Reports of runs that ran: by the command, and from Python."""

from __future__ import annotations

import asyncio
import csv
import json

from commandline import gridcwl as command
from documents import Desk, glob, on_command_line, shell, step, workflow

import gridcwl
from gridcwl import Client


def out(kind: str, source: str) -> dict[str, str]:
    return {"type": kind, "outputSource": source}


def ran(desk: Desk, **settings: object) -> gridcwl.BlockingRun:
    count = shell(
        'head -c 1000000 /dev/zero > "$0"', inputs={"name": on_command_line("string")}, outputs={"made": glob("*")}
    )
    steps = {"count": step(count, "made", scatter="name", name="names")}
    desk.write("wf.cwl", workflow({"names": "string[]"}, {"made": out("File[]", "count/made")}, **steps))
    return gridcwl.run("wf.cwl", {"names": ["a", "b"]}, **settings)


def test_a_run_has_a_report_of_what_its_jobs_used(desk: Desk):
    run = ran(desk)

    report = run.report()

    (used,) = report.steps
    assert (used.name, used.counts.done, used.disk_mib.most) == ("count", 2, 1000000 / 2**20)
    assert used.written_bytes.least >= 1_000_000
    assert 'class="node done"' in report.html()
    assert [job.how for job in run.jobs()] == ["run", "run"]


def test_the_command_writes_the_formats(desk: Desk):
    run = ran(desk)

    page = command("report", run.id, "-o", "report.html")
    rows = command("report", run.id, "--format", "tsv")
    plain = command("report", run.id, "--format", "json", "--no-replicas")

    assert page.stderr == f"gridcwl: report of {run.id} written to report.html\n"
    assert (desk.folder / "report.html").read_text().startswith("<!DOCTYPE html>")
    assert [row["name"] for row in csv.DictReader(rows.stdout.splitlines(), delimiter="\t")] == ["count[0]", "count[1]"]
    assert json.loads(plain.stdout)["run"] == run.id


def test_a_resumed_run_reports_which_results_it_took(desk: Desk):
    steps = {
        "ok": step(shell("echo x > x", outputs={"x": glob("x")}), "x"),
        "picky": step(shell('[ -e "$0" ]', inputs={"gate": on_command_line("string")}), gate="gate"),
    }
    desk.write("wf.cwl", workflow({"gate": "string"}, {"x": out("File", "ok/x")}, **steps))
    gate = desk.folder / "gate"

    async def main() -> list[str]:
        async with Client() as client:
            run = await client.submit("wf.cwl", {"gate": str(gate)}, on_error="continue")
            try:
                await run.result()
            except gridcwl.RunFailed:
                gate.touch()
            again = await run.resume()
            await again.result()
            return [job.how for job in await again.jobs()]

    assert sorted(asyncio.run(main())) == ["resumed", "run"]
