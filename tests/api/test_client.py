"""Runs from Python: many at a time in one event loop, from any thread, and beside other processes."""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
import threading
from pathlib import Path
from typing import Any

import pytest
from documents import Desk, glob, on_command_line, shell, step, tool, workflow

import gridcwl
from gridcwl import Client, File

WAITS_FOR = 'until [ -e "$0" ]; do sleep 0.05; done; echo done'
"""A tool that ends when a file is there."""


def waiting() -> dict[str, Any]:
    return tool(
        "sh", "-c", WAITS_FOR, inputs={"gate": on_command_line("string")}, outputs={"said": "stdout"}, stdout="said.txt"
    )


def number() -> dict[str, Any]:
    script = 'if [ "$0" = 13 ]; then echo unlucky >&2; exit 3; fi; while [ "$0" = 7 ]; do sleep 0.05; done; echo "$0"'
    return tool(
        "sh", "-c", script, inputs={"number": on_command_line("int")}, outputs={"said": "stdout"}, stdout="said.txt"
    )


def text(file: Any) -> str:
    return Path(file).read_text()


async def started(run: gridcwl.Run) -> None:
    """Wait until a job of the run has begun."""
    async for event in run.events():
        if isinstance(event, gridcwl.JobStarted):
            return


def test_fifty_runs_share_an_event_loop_and_neither_a_failure_nor_a_cancellation_concerns_the_others(desk: Desk):
    desk.write("number.cwl", number())

    async def main() -> list[Any]:
        async with Client() as client:
            runs = await asyncio.gather(
                *(client.submit("number.cwl", {"number": n}, outdir=f"outputs/{n}") for n in range(50))
            )
            await started(runs[7])
            await runs[7].cancel()
            return await asyncio.gather(*(run.result() for run in runs), return_exceptions=True)

    results = asyncio.run(main())
    assert isinstance(results[7], gridcwl.RunCancelled)
    assert isinstance(results[13], gridcwl.RunFailed)
    others = [n for n in range(50) if n not in (7, 13)]
    assert [text(results[n]["said"]) for n in others] == [f"{n}\n" for n in others]
    assert {results[n]["said"].path for n in others} == {desk.outdir / str(n) / "said.txt" for n in others}


def alone() -> dict[str, Any]:
    """A tool that needs all cores of the machine, and fails if it has them not for itself."""
    script = 'mkdir "$0" || exit 3; sleep 0.1; rmdir "$0"; echo done'
    made = tool(
        "sh", "-c", script, inputs={"mark": on_command_line("string")}, outputs={"said": "stdout"}, stdout="said.txt"
    )
    return made | {"requirements": {"ResourceRequirement": {"coresMin": len(os.sched_getaffinity(0))}}}


def test_runs_in_one_loop_and_in_other_threads_share_the_cores_of_the_machine(desk: Desk):
    desk.write("alone.cwl", alone())
    inputs = {"mark": str(desk.folder / "mark")}

    def blocking(outdir: str) -> Any:
        return gridcwl.run("alone.cwl", inputs, outdir=outdir).outputs

    async def main() -> list[Any]:
        async with Client() as client:
            runs = [await client.submit("alone.cwl", inputs, outdir=f"loop/{n}") for n in range(2)]
            return await asyncio.gather(
                *(run.result() for run in runs),
                *(asyncio.to_thread(blocking, f"threads/{n}") for n in range(2)),
            )

    assert [text(outputs["said"]) for outputs in asyncio.run(main())] == ["done\n"] * 4


def test_a_run_reports_what_happens_in_it_and_ends_with_its_end(desk: Desk):
    desk.write("number.cwl", number())

    async def main() -> list[gridcwl.Event]:
        async with Client() as client:
            run = await client.submit("number.cwl", {"number": 1}, outdir="outputs")
            return [event async for event in run.events()]

    events = asyncio.run(main())
    assert [type(event) for event in events if not isinstance(event, gridcwl.StepsChanged)] == [
        *(gridcwl.RunStarted, gridcwl.JobStarted, gridcwl.JobEnded, gridcwl.RunEnded)
    ]
    ended = next(event for event in events if isinstance(event, gridcwl.JobEnded))
    assert (ended.name, ended.outcome, ended.exit_code) == ("number.cwl", "success", 0)
    steps = next(event for event in reversed(events) if isinstance(event, gridcwl.StepsChanged)).steps
    assert [(one.step, one.done, one.total) for one in steps] == [("number.cwl", 1, 1)]
    assert events[-1] == gridcwl.RunEnded(events[0].run, "success", "")


def test_whoever_comes_late_sees_all_that_has_happened(desk: Desk):
    desk.write("number.cwl", number())

    async def main() -> tuple[list[gridcwl.Event], list[gridcwl.Event]]:
        async with Client() as client:
            run = await client.submit("number.cwl", {"number": 1}, outdir="outputs")
            first = [event async for event in run.events()]
            return first, [event async for event in run.events()]

    first, late = asyncio.run(main())
    assert first == late


def test_a_failed_run_reports_what_failed_and_gives_the_outputs_that_there_are(desk: Desk):
    both = workflow(
        {},
        {"good": {"type": "File", "outputSource": "good/said"}, "bad": {"type": "File", "outputSource": "bad/said"}},
        good=step(shell("echo fine", outputs={"said": "stdout"}), "said"),
        bad=step(shell("echo no >&2; exit 3", outputs={"said": "stdout"}), "said"),
    )
    desk.write("both.cwl", both)
    with pytest.raises(gridcwl.RunFailed) as caught:
        gridcwl.run("both.cwl", outdir="outputs", on_error="continue")
    assert caught.value.failures == ("bad failed: The tool ended with exit code 3.",)
    assert "bad failed" in str(caught.value)
    assert caught.value.outputs["bad"] is None
    assert text(caught.value.outputs["good"]) == "fine\n"
    assert not desk.outdir.exists()


def test_a_thread_that_is_not_the_main_one_runs_a_document(desk: Desk):
    desk.write("number.cwl", number())
    found: list[str] = []
    thread = threading.Thread(
        target=lambda: found.append(text(gridcwl.run("number.cwl", {"number": 4}, outdir="outputs").outputs["said"]))
    )
    thread.start()
    thread.join()
    assert found == ["4\n"]


def test_a_run_blocks_also_where_an_event_loop_runs_as_in_a_notebook(desk: Desk):
    desk.write("number.cwl", number())

    async def cell() -> str:
        return text(gridcwl.run("number.cwl", {"number": 5}, outdir="outputs").outputs["said"])

    assert asyncio.run(cell()) == "5\n"


def test_a_run_that_was_submitted_is_watched_and_cancelled_without_an_event_loop(desk: Desk):
    desk.write("waiting.cwl", waiting())
    run = gridcwl.submit("waiting.cwl", {"gate": "never"}, outdir="outputs")
    events = run.events()
    assert next(event for event in events if isinstance(event, gridcwl.JobStarted)).name == "waiting.cwl"
    assert run.status().state == "running"
    run.cancel()
    assert [event.status for event in events if isinstance(event, gridcwl.RunEnded)] == ["cancelled"]
    with pytest.raises(gridcwl.RunCancelled):
        run.result()


def test_a_program_ends_when_its_runs_have_ended(desk: Desk):
    desk.write("waiting.cwl", waiting())
    script = """
import gridcwl
run = gridcwl.submit("waiting.cwl", {"gate": "gate"}, outdir="outputs")
next(event for event in run.events() if isinstance(event, gridcwl.JobStarted))
print("leaving", flush=True)
"""
    script = script.replace('"gate": "gate"', f'"gate": {str(desk.folder / "gate")!r}')
    program = subprocess.Popen([sys.executable, "-c", script], stdout=subprocess.PIPE, text=True)
    assert program.stdout is not None
    assert program.stdout.readline() == "leaving\n"
    desk.write("gate", "")
    assert program.wait(120) == 0
    program.stdout.close()
    assert (desk.outdir / "said.txt").read_text() == "done\n"


def test_leaving_the_client_with_an_exception_cancels_its_runs(desk: Desk):
    desk.write("waiting.cwl", waiting())
    ids: list[str] = []

    async def main() -> None:
        async with Client() as client:
            run = await client.submit("waiting.cwl", {"gate": "never"}, outdir="outputs")
            ids.append(run.id)
            await started(run)
            raise KeyError("of the program")

    with pytest.raises(KeyError):
        asyncio.run(main())
    assert asyncio.run(state_of(ids[0])) == "cancelled"


async def state_of(run: str) -> str:
    async with Client() as client:
        return (await (await client.open(run)).status()).state


def test_cancelling_whoever_waits_for_a_result_does_not_cancel_the_run(desk: Desk):
    desk.write("waiting.cwl", waiting())

    async def main() -> str:
        async with Client() as client:
            run = await client.submit("waiting.cwl", {"gate": str(desk.folder / "gate")}, outdir="outputs")
            await started(run)
            with pytest.raises(asyncio.TimeoutError):
                await asyncio.wait_for(run.result(), 0.01)
            desk.write("gate", "")
            return text((await run.result())["said"])

    assert asyncio.run(main()) == "done\n"


@pytest.fixture
def elsewhere(desk: Desk):
    """A run of another process, whose tool waits for the file ``gate``."""
    desk.write("waiting.cwl", waiting())
    command = [sys.executable, "-m", "gridcwl", "--outdir=outputs", "--run-name=theirs", "waiting.cwl"]
    process = subprocess.Popen(
        [*command, f"--gate={desk.folder / 'gate'}"], stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True
    )
    yield process
    process.kill()
    process.communicate()


async def opened(client: Client, run: str) -> gridcwl.Run:
    """The run, as soon as its process has recorded it."""
    while not [one for one in await client.runs() if one.name == run and one.state == "running"]:  # noqa: ASYNC110
        await asyncio.sleep(0.05)
    return await client.open(run)


@pytest.mark.usefixtures("elsewhere")
def test_a_run_of_another_process_is_followed_to_its_end(desk: Desk):
    async def main() -> tuple[list[gridcwl.Event], dict[str, Any]]:
        async with Client() as client:
            run = await opened(client, "theirs")
            events = []
            async for event in run.events():
                events.append(event)
                if isinstance(event, gridcwl.JobStarted):
                    assert (await run.status()).state == "running"
                    desk.write("gate", "")
            return events, await run.result()

    events, outputs = asyncio.run(main())
    kinds = [type(event) for event in events if not isinstance(event, gridcwl.StepsChanged)]
    assert kinds == [gridcwl.RunStarted, gridcwl.JobStarted, gridcwl.JobEnded, gridcwl.RunEnded]
    assert text(outputs["said"]) == "done\n"
    assert events[-1].status == "success"


def test_a_run_of_another_process_can_be_cancelled(elsewhere: subprocess.Popen[str]):
    async def main() -> str:
        async with Client() as client:
            run = await opened(client, "theirs")
            await started(run)
            await run.cancel()
            with pytest.raises(gridcwl.RunCancelled):
                await run.result()
            return (await run.status()).state

    assert asyncio.run(main()) == "cancelled"
    assert elsewhere.wait(120) == 128 + 15


def test_the_command_line_cancels_a_run_of_a_program_and_leaves_the_program(desk: Desk):
    from commandline import gridcwl as command

    desk.write("waiting.cwl", waiting())
    run = gridcwl.submit("waiting.cwl", {"gate": "never"}, outdir="outputs")
    assert command("cancel", run.id).code == 0
    with pytest.raises(gridcwl.RunCancelled, match="another process"):
        run.result()


def test_a_failed_run_is_resumed_after_its_cause_is_fixed_and_finished_jobs_do_not_run_again(desk: Desk):
    first = shell("echo $$ >> ran.txt; echo one", outputs={"said": "stdout"})
    second = tool("cat", inputs={"file": on_command_line("File")}, outputs={"said": "stdout"}, stdout="second.txt")
    desk.write("second.cwl", {**second, "baseCommand": "false"})
    desk.write(
        "both.cwl",
        workflow(
            {},
            {"said": {"type": "File", "outputSource": "second/said"}},
            first=step(first, "said"),
            second=step("second.cwl", "said", file="first/said"),
        ),
    )

    async def main() -> tuple[str, gridcwl.RunStatus]:
        async with Client(outdir="outputs") as client:
            run = await client.submit("both.cwl")
            with pytest.raises(gridcwl.RunFailed):
                await run.result()
            desk.write("second.cwl", second)
            again = await run.resume()
            outputs = await again.result()
            return text(outputs["said"]), await again.status()

    message, status = asyncio.run(main())
    assert message == "one\n"
    assert {one.step: (one.done, one.reused) for one in status.steps} == {"first": (1, 1), "second": (1, 0)}


def test_a_run_is_resumed_by_another_program_in_another_folder(desk: Desk, tmp_path: Path, monkeypatch):
    desk.write("number.cwl", number())
    with pytest.raises(gridcwl.RunFailed):
        gridcwl.run("number.cwl", {"number": 13}, outdir="outputs", name="mine")
    desk.write("number.cwl", shell("echo better", inputs={"number": "int"}, outputs={"said": "stdout"}))
    monkeypatch.chdir(tmp_path)
    run = gridcwl.resume("mine")
    assert text(run.outputs["said"]) == "better\n"
    assert Path(run.outputs["said"]).parent == desk.outdir
    assert Path.cwd() == tmp_path


def test_logs_are_those_of_the_tools_and_failed_jobs_come_first(desk: Desk):
    talks = shell("echo out; echo err >&2; exit 4")
    desk.write("talks.cwl", talks)
    with pytest.raises(gridcwl.RunFailed):
        gridcwl.run("talks.cwl", outdir="outputs", name="talks")

    async def main() -> list[gridcwl.JobLog]:
        async with Client() as client:
            return await (await client.open("talks")).logs()

    (log,) = asyncio.run(main())
    assert (log.name, log.exit_code, log.text()) == ("talks.cwl", 4, "out\nerr\n")


def test_a_step_that_a_run_does_not_have_is_an_error_that_names_those_it_has(desk: Desk):
    desk.write("number.cwl", number())
    run = gridcwl.run("number.cwl", {"number": 2}, outdir="outputs")
    with pytest.raises(gridcwl.ConfigError, match=r"nunber[\s\S]*number.cwl"):
        run.logs("nunber.cwl")
    (answer,) = run.explain("number.cwl")
    assert answer.state == "done"


def test_what_is_wrong_is_reported_before_a_run_begins(desk: Desk):
    desk.write("number.cwl", number())
    for arguments, settings, kind, words in (
        (("nunber.cwl",), {}, gridcwl.DocumentError, "Did you mean number.cwl"),
        (("number.cwl", {"number": "x"}), {}, gridcwl.InputError, "number"),
        (("number.cwl", {"number": object()}), {}, gridcwl.InputError, "CWL has no type"),
        (("number.cwl", {"number": 1}), {"outdri": "x"}, gridcwl.ConfigError, "Did you mean outdir"),
        (("number.cwl", {"number": 1}), {"max_jobs": 0}, gridcwl.ConfigError, "max_jobs is 0, but takes a whole"),
        (("number.cwl", {"number": 1}), {"backend": "slurm"}, gridcwl.ConfigError, "one of: local"),
        (("number.cwl", {"number": 1}), {"outdir": 1}, gridcwl.ConfigError, "outdir is 1, but takes a path"),
        (("number.cwl", {"number": 1}), {"outdir": "number.cwl"}, gridcwl.OutputConflict, "is a file"),
    ):
        with pytest.raises(kind) as caught:
            gridcwl.run(*arguments, **settings)
        assert words in str(caught.value), caught.value
    with pytest.raises(gridcwl.ConfigError, match="There is no run"):
        gridcwl.resume("never")


def test_one_run_may_evaluate_javascript_while_another_may_not(desk: Desk):
    js = {"class": "ExpressionTool", "cwlVersion": "v1.2", "requirements": {"InlineJavascriptRequirement": {}}}
    desk.write("js.cwl", {**js, "inputs": {}, "outputs": {"n": "int"}, "expression": "${ return {n: 6 * 7}; }"})

    async def main() -> list[Any]:
        async with Client() as client:
            runs = await asyncio.gather(
                client.submit("js.cwl", outdir="a"),
                client.submit("js.cwl", outdir="b", javascript=False),
                client.submit("js.cwl", outdir="c"),
                return_exceptions=True,
            )
            return [await run.result() if isinstance(run, gridcwl.Run) else run for run in runs]

    first, refused, third = asyncio.run(main())
    assert (first, third) == ({"n": 42}, {"n": 42})
    assert isinstance(refused, gridcwl.UnsupportedError)


def test_files_that_a_run_made_are_inputs_of_the_next(desk: Desk):
    desk.write(
        "write.cwl",
        shell("echo first > a.txt; echo index > a.txt.idx", outputs={"file": glob("a.txt", secondaryFiles=[".idx"])}),
    )
    cat = shell(
        'cat "$0" "$0.idx"',
        inputs={"file": on_command_line("File")},
        outputs={"said": "stdout"},
    )
    cat["inputs"]["file"]["secondaryFiles"] = [".idx"]
    desk.write("cat.cwl", cat)
    made = gridcwl.run("write.cwl", outdir="one").outputs["file"]
    assert isinstance(made, File)
    assert (made.basename, made.size) == ("a.txt", 6)
    assert made.checksum is not None
    assert [one.basename for one in made.secondary_files] == ["a.txt.idx"]
    assert text(gridcwl.run("cat.cwl", {"file": made}, outdir="two").outputs["said"]) == "first\nindex\n"


def test_an_input_file_is_a_file_whatever_its_name(desk: Desk):
    desk.write("number.cwl", number())
    for name in ("in.yml", "-", "--number"):
        desk.write(name, "number: 6\n")
        assert text(gridcwl.run("number.cwl", name, outdir="outputs").outputs["said"]) == "6\n"


def test_nothing_of_the_process_is_changed_by_a_run(desk: Desk):
    import signal

    desk.write("number.cwl", number())
    before = (Path.cwd(), sys.stdin, [signal.getsignal(n) for n in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)])
    gridcwl.run("number.cwl", {"number": 3}, outdir="outputs")
    after = (Path.cwd(), sys.stdin, [signal.getsignal(n) for n in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)])
    assert before == after
