"""Notebooks with ``%load_ext gridcwl``, in a real kernel: what cells show, and that runs outlive the kernel."""

from __future__ import annotations

import json

import pytest
from documents import glob, on_command_line, shell, step, tool, workflow
from jupyter_kernel import Cell, Kernel
from waiting import until

HOSTILE = '<img src=x onerror="window.hacked=1">'
COUNT = """
cwlVersion: v1.2
class: CommandLineTool
baseCommand: [sh, -c, 'for one; do echo "$one"; done', count]
inputs:
  events: {type: File, inputBinding: {position: 1}}
  numbers: {type: 'int[]?', inputBinding: {position: 2}}
  energy: {type: string?, inputBinding: {position: 3}}
stdout: words.txt
outputs: {words: stdout}
"""
WAITS = tool(
    "sh", "-c", 'until [ -e "$0" ]; do sleep 0.05; done; echo done',
    inputs={"gate": on_command_line("string")}, outputs={"said": "stdout"}, stdout="said.txt",
)  # fmt: skip


def ok(cell: Cell) -> Cell:
    assert not cell.error, (cell.error, cell.traceback)
    return cell


def test_a_document_in_a_cell_takes_variables_and_gives_its_outputs_to_one(kernel: Kernel):
    ok(kernel.run("""
        import numpy as np
        from astropy import units as u
        from pathlib import Path
        Path("events.txt").write_text("x")
        events = Path("events.txt"); energy = 30 * u.GeV
    """))  # fmt: skip
    line = "%%cwl -i events -i numbers=np.arange(2) -i energy -o outputs --outdir cell"
    cell = ok(kernel.run(line + COUNT, cell_id="a"))
    assert "success" in cell.html
    assert len(cell.displays) == 1  # the run itself is not shown twice
    assert kernel.value("outputs['words'].path.read_text().split()[1:]") == "['0', '1', '30.0', 'GeV']"
    shown = ok(kernel.run("outputs"))
    assert "30.0 GeV" in shown.html
    changed = COUNT.replace("position: 3", "position: 0")
    ok(kernel.run(line + changed, cell_id="a"))  # the edited cell replaces what it made before
    assert kernel.value("outputs['words'].path.read_text().split()[0]") == "30.0"


def test_a_line_runs_a_document_with_options_and_other_commands_print(kernel: Kernel):
    (kernel.folder / "count.cwl").write_text(COUNT)
    ok(kernel.run("%gridcwl --outdir line count.cwl --events events.txt --numbers 7 -o outputs"))
    assert kernel.value("outputs['words'].path.read_text().split()[-1]") == "7"
    ok(kernel.run("seven = [7]\n%gridcwl --outdir line count.cwl -i numbers=seven --events events.txt -o outputs"))
    assert kernel.value("outputs['words'].path.read_text().split()[-1]") == "7"
    listed = ok(kernel.run("%gridcwl runs"))
    assert "count.cwl" in listed.text
    assert "usage" in ok(kernel.run("%gridcwl --help")).text.lower()


@pytest.mark.parametrize(
    ("code", "words"),
    [
        ("%gridcwl nowhere.cwl", "nowhere.cwl"),
        ("%gridcwl count.cwl -i events=missing", "-i events: missing has no value"),
        ("gridcwl.run('count.cwl', {'events': object()})", "inputs.events is <object"),
    ],
)
def test_a_mistake_is_shown_as_its_message_without_a_traceback(kernel: Kernel, code: str, words: str):
    cell = kernel.run(code)
    shown = "\n".join(cell.traceback)
    assert words in cell.error
    assert words in shown
    assert "File " not in shown
    assert "Traceback" not in shown


def test_a_failure_is_shown_with_its_stderr_and_nothing_of_it_is_markup(kernel: Kernel):
    (kernel.folder / "fails.cwl").write_text(json.dumps(workflow(
        {"words": "string[]"}, {"out": {"type": "File[]", "outputSource": "talk/out"}},
        talk=step(shell(f"echo '{HOSTILE}' >&2; test $0 = good && touch a.txt",
                        inputs={"word": on_command_line("string")}, outputs={"out": glob("a.txt")}),
                  "out", scatter="word", word="words"),
    )))  # fmt: skip
    cell = kernel.run(
        f"run = gridcwl.submit('fails.cwl', {{'words': ['good', {HOSTILE!r}]}}, outdir='fails')\nrun.result()"
    )
    assert "talk[1]" in cell.error
    card = ok(kernel.run("run"))
    assert "1 failed" in card.html
    assert "gridcwl shell" in card.html
    assert "gridcwl.resume(" in card.html
    assert "onerror=&quot;window.hacked" in card.html
    assert "<img" not in card.html
    assert "talk" in card.displays[0]["text/plain"]


def test_an_interrupt_detaches_and_after_a_restart_the_last_run_is_that_one_still_active(kernel: Kernel):
    (kernel.folder / "waits.cwl").write_text(json.dumps(WAITS))
    gate = kernel.folder / "gate"
    cell = kernel.run(
        f"gridcwl.run('waits.cwl', {{'gate': {str(gate)!r}}}, outdir='waits')\nprint('not reached')",
        when=lambda shown: "1 running" in shown.html,
        then=kernel.manager.interrupt_kernel,
    )
    assert "KeyboardInterrupt" in "".join(cell.traceback)
    assert "Detached" in cell.text
    assert "not reached" not in cell.text
    kernel.restart()
    ok(kernel.run("%load_ext gridcwl\nimport gridcwl\nrun = gridcwl.last()"))
    assert kernel.value("run.status().state, run.status().document") == "running waits.cwl"
    gate.touch()
    assert kernel.value("run.result()['said'].path.read_text()") == "done\n"


def test_a_run_is_awaited_in_the_notebook_s_own_loop_while_other_tasks_run(kernel: Kernel):
    gate = kernel.folder / "second-gate"
    ok(kernel.run(f"""
        import asyncio
        run = gridcwl.submit("waits.cwl", {{"gate": {str(gate)!r}}}, outdir="awaited")
        async def open_gate():
            while run.status().state != "running":
                await asyncio.sleep(0.05)
            open({str(gate)!r}, "w").close()
        outputs, _ = await asyncio.gather(run, open_gate())
        async with gridcwl.Client() as client:
            inside = await client.submit("waits.cwl", {{"gate": {str(gate)!r}}}, outdir="inside")
            again = await inside.result()
    """))  # fmt: skip
    assert kernel.value("outputs['said'].path.read_text() == again['said'].path.read_text()") == "True"


def test_a_run_that_is_displayed_while_it_is_active_changes_until_it_has_ended(kernel: Kernel):
    gate = kernel.folder / "third-gate"
    cell = ok(kernel.run(f"%gridcwl --detach --outdir third waits.cwl --gate {gate}"))
    assert "cancel()" in cell.html
    name = next(iter(cell._by_id))
    gate.touch()

    def shows_success() -> bool:
        message = kernel.client.get_iopub_msg(timeout=60)
        content = message["content"]
        return (
            message["msg_type"] == "update_display_data"
            and content["transient"]["display_id"] == name
            and "success" in content["data"]["text/html"]
        )

    until(shows_success)


def test_a_run_is_cancelled_and_resumed_from_a_cell(kernel: Kernel):
    gate = kernel.folder / "fourth-gate"
    ok(kernel.run(f"run = gridcwl.submit('waits.cwl', {{'gate': {str(gate)!r}}}, outdir='fourth')\nrun.cancel()"))
    assert kernel.value("run.status().state") == "cancelled"
    gate.touch()
    cell = ok(kernel.run("again = gridcwl.resume(run.id)"))
    assert "success" in cell.html
    assert kernel.value("again.id == run.id, again.outputs['said'].basename") == "True said.txt"
