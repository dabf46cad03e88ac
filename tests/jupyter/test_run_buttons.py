"""Runs with buttons in a notebook, in a real kernel; the test is what the script in a page is to it."""

from __future__ import annotations

import json
from typing import Any

from documents import glob, on_command_line, shell, tool
from jupyter_kernel import PATIENCE_S, Cell, Kernel

VIEW = "application/vnd.jupyter.widget-view+json"
WAITS = tool(
    "sh", "-c", 'until [ -e "$0" ]; do sleep 0.05; done; echo done',
    inputs={"gate": on_command_line("string")}, outputs={"said": "stdout"}, stdout="said.txt",
)  # fmt: skip
FAILS = shell(
    'test -e "$0" || { echo "there is no $0" >&2; exit 3; }; touch a.txt',
    inputs={"gate": on_command_line("string")},
    outputs={"out": glob("a.txt")},
)


def ok(cell: Cell) -> Cell:
    assert not cell.error, (cell.error, cell.traceback)
    return cell


def loaded(kernel: Kernel, *, answered: bool) -> None:
    """The extension as it is at first; with ``answered``, in a program that shows widgets."""
    kernel.run("%unload_ext gridcwl")
    cell = ok(kernel.run("%load_ext gridcwl\nimport gridcwl"))
    (probe,) = [one for one, values in cell.widgets.items() if "card" in values]
    if answered:
        kernel.press(probe, "ready")


def followed(kernel: Kernel, cell: Cell, until: Any) -> Cell:
    """The cell when this holds, from messages that come when it has ended."""
    while not until(cell):
        message = kernel.client.get_iopub_msg(timeout=PATIENCE_S)
        cell.take(message["msg_type"], message["content"])
    return cell


def widget_of(cell: Cell) -> str:
    (view,) = [data[VIEW] for data in cell.displays if VIEW in data]
    return str(view["model_id"])


def test_where_nothing_answers_that_shows_widgets_a_run_is_html_and_code(kernel: Kernel):
    (kernel.folder / "fails.cwl").write_text(json.dumps(FAILS))
    loaded(kernel, answered=False)
    cell = kernel.run(f"gridcwl.run('fails.cwl', {{'gate': {str(kernel.folder / 'none')!r}}})")
    assert "gridcwl.resume(" in cell.html
    assert not any(VIEW in data for data in cell.displays)


def test_a_waiting_cell_shows_a_button_that_cancels_and_then_one_that_resumes(kernel: Kernel):
    (kernel.folder / "waits.cwl").write_text(json.dumps(WAITS))
    gate = kernel.folder / "gate"
    loaded(kernel, answered=True)
    pressed: list[str] = []

    def running(cell: Cell) -> bool:
        found = [one for one, values in cell.widgets.items() if "1 running" in values.get("card", "")]
        pressed[:] = found
        return bool(found)

    cell = kernel.run(
        f"gridcwl.run('waits.cwl', {{'gate': {str(gate)!r}}}, outdir='waits')",
        when=running,
        then=lambda: kernel.press(pressed[0], "cancel", subshell=True),
    )
    assert "stopped" in cell.error
    widget = widget_of(cell)
    assert widget == pressed[0]
    followed(kernel, cell, lambda shown: shown.widgets[widget]["actions"] == ["resume"])
    assert "gridcwl.resume(" not in cell.widgets[widget]["card"]  # the button does it
    followed(kernel, cell, lambda shown: "gridcwl.resume(" in shown.html)  # for when there is no kernel
    gate.touch()
    kernel.press(widget, "resume")
    followed(kernel, cell, lambda shown: 'class="badge success"' in shown.html)
    assert not any(VIEW in data for data in cell.displays)  # nothing is left that needs a kernel
    assert kernel.value("gridcwl.last().outputs['said'].path.read_text()") == "done\n"


def test_what_a_button_cannot_do_is_written_beside_it(kernel: Kernel):
    (kernel.folder / "fails.cwl").write_text(json.dumps(FAILS))
    loaded(kernel, answered=True)
    kernel.run(f"gridcwl.run('fails.cwl', {{'gate': {str(kernel.folder / 'none')!r}}}, outdir='fails')")
    cell = ok(kernel.run("run = gridcwl.last()\nrun"))
    widget = widget_of(followed(kernel, cell, lambda shown: any(VIEW in data for data in shown.displays)))
    ok(kernel.run("import shutil\nshutil.move(run._run._folder.journal, 'kept.db')"))
    kernel.press(widget, "resume")
    followed(kernel, cell, lambda shown: shown.widgets[widget].get("message"))
    assert "journal" in cell.widgets[widget]["message"]
    assert cell.widgets[widget]["pending"] == ""


def test_a_kernel_that_ends_leaves_html_in_place_of_the_widget(kernel: Kernel):
    (kernel.folder / "waits.cwl").write_text(json.dumps(WAITS))
    gate = kernel.folder / "last-gate"
    loaded(kernel, answered=True)
    cell = ok(kernel.run(f"run = gridcwl.submit('waits.cwl', {{'gate': {str(gate)!r}}}, outdir='left')\nrun"))
    followed(kernel, cell, lambda shown: any(VIEW in data for data in shown.displays))
    kernel.manager.restart_kernel(now=False)
    try:
        followed(kernel, cell, lambda shown: not any(VIEW in data for data in shown.displays))
        assert "cancel()" in cell.html
        kernel.client.wait_for_ready(timeout=PATIENCE_S)
    finally:
        gate.touch()
    ok(kernel.run("%load_ext gridcwl\nimport gridcwl\ngridcwl.last().result()"))
