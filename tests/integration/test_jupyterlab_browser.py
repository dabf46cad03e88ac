"""A real JupyterLab in a real browser: a cell that shows a run while it is active, and its outputs.

JupyterLab is in an environment of its own: ``make test-jupyter`` installs it and runs this. ``GRIDCWL_SCREENSHOTS``
names a folder for pictures.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import nbformat
import pytest
from browser import chromium
from documents import on_command_line, shell, step, tool, workflow
from playwright.sync_api import Page, expect, sync_playwright
from waiting import until

PYTHON = os.environ.get("GRIDCWL_JUPYTER_PYTHON", "")
PICTURES = os.environ.get("GRIDCWL_SCREENSHOTS", "")
TOKEN = "not-a-secret"
PATIENCE_MS = 120_000
IDLE = "() => window.jupyterapp.shell.currentWidget?.sessionContext?.session?.kernel?.status === 'idle'"
EVIL = '<img src=x onerror="window.hacked=1">'

pytestmark = [
    pytest.mark.browser,
    pytest.mark.skipif(not PYTHON, reason="make test-jupyter installs JupyterLab and runs this"),
]

WAITS = tool(
    "sh", "-c", 'until [ -e "$0" ]; do sleep 0.05; done; echo done',
    inputs={"gate": on_command_line("string")}, outputs={"said": "stdout"}, stdout="said.txt",
)  # fmt: skip
STEPS = workflow(
    {"words": "string[]", "gate": "string"}, {"said": {"type": "File[]", "outputSource": "say/said"}},
    wait=step(WAITS, "said", gate="gate"),
    say=step(shell('cat $1 >/dev/null; echo "$0"', inputs={
        "word": on_command_line("string"), "after": {"type": "File", "inputBinding": {"position": 2}},
    }, outputs={"said": "stdout"}, stdout="said.txt"), "said", scatter="word", word="words", after="wait/said"),
)  # fmt: skip


class Lab:
    """JupyterLab on a folder, and a notebook that is written before it is opened."""

    def __init__(self, url: str, folder: Path, page: Page) -> None:
        self.url, self.folder, self.page = url, folder, page

    def open(self, name: str, *cells: str) -> None:
        """Write a notebook and open it."""
        notebook = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(cell) for cell in cells])
        notebook.metadata["kernelspec"] = {"name": "gridcwl-test", "display_name": "gridcwl", "language": "python"}
        notebook.metadata["language_info"] = {"name": "python"}
        nbformat.write(notebook, self.folder / f"{name}.ipynb")
        self.page.goto(f"{self.url}lab/tree/{name}.ipynb?token={TOKEN}")
        expect(self.page.locator(".jp-Notebook .jp-CodeCell").first).to_be_visible(timeout=PATIENCE_MS)
        self.page.wait_for_function(IDLE, timeout=PATIENCE_MS)

    def command(self, name: str) -> None:
        """Call a command of JupyterLab; does not wait for its end."""
        self.page.evaluate(f"() => {{ window.jupyterapp.commands.execute({name!r}); }}")

    def picture(self, name: str) -> None:
        """Keep how the page looks."""
        if PICTURES:
            self.page.screenshot(path=Path(PICTURES) / f"{name}.png")


@pytest.fixture(scope="module")
def lab(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Lab]:
    top = tmp_path_factory.mktemp("lab")
    folder = top / "notebooks"
    folder.mkdir()
    spec = top / "data" / "kernels" / "gridcwl-test"
    spec.mkdir(parents=True)
    argv = [sys.executable, "-m", "ipykernel_launcher", "-f", "{connection_file}"]
    (spec / "kernel.json").write_text(json.dumps({"argv": argv, "display_name": "gridcwl", "language": "python"}))
    settings = top / "config" / "lab" / "user-settings" / "@jupyterlab" / "apputils-extension"
    settings.mkdir(parents=True)
    (settings / "notification.jupyterlab-settings").write_text('{"fetchNews": "false", "checkForUpdates": false}')
    own = {f"XDG_{name}_HOME": str(top / name.lower()) for name in ("STATE", "CONFIG", "CACHE")}
    own |= {f"JUPYTER_{name}_DIR": str(top / name.lower()) for name in ("CONFIG", "DATA", "RUNTIME")}
    own |= {"IPYTHONDIR": str(top / "ipython"), "HOME": str(top), "GRIDCWL_ENGINE": "none", "TMPDIR": str(top)}
    words = [
        PYTHON, "-m", "jupyterlab", "--no-browser", "--ip=127.0.0.1", "--port=0", f"--IdentityProvider.token={TOKEN}",
        f"--ServerApp.root_dir={folder}", "--allow-root", "--LabApp.expose_app_in_browser=True",
        "--LabApp.extension_manager=readonly", "--LabApp.news_url=", "--LabApp.check_for_updates_class="
        "jupyterlab.NeverCheckForUpdate",
    ]  # fmt: skip
    log = (top / "lab.log").open("wb")
    with log, subprocess.Popen(words, env={**os.environ, **own}, stdout=log, stderr=log) as server:
        try:
            found = until(lambda: server.poll() is not None or list((top / "runtime").glob("jpserver-*.json")))
            assert server.poll() is None, (top / "lab.log").read_text()
            about = json.loads(found[0].read_text())
            with sync_playwright() as playwright:
                browser = playwright.chromium.launch(executable_path=chromium(), args=["--no-sandbox"])
                page = browser.new_page(viewport={"width": 1360, "height": 1000})
                page.on("dialog", lambda dialog: dialog.accept())  # a changed notebook is left
                yield Lab(about["url"], folder, page)
                browser.close()
        finally:
            server.terminate()


def test_a_run_changes_while_it_is_active_and_its_outputs_show_themselves(lab: Lab) -> None:
    (lab.folder / "steps.cwl").write_text(json.dumps(STEPS))
    gate = lab.folder / "gate"
    lab.open(
        "steps",
        "%load_ext gridcwl\nimport gridcwl",
        f"%gridcwl --outdir steps steps.cwl --words a --words b --words c --gate {gate} -o outputs",
        "outputs",
    )
    lab.command("notebook:run-all-cells")
    card = lab.page.locator(".gridcwl-run").first
    expect(card.locator(".badge.running")).to_be_visible(timeout=PATIENCE_MS)
    expect(card.locator("svg.graph")).to_be_visible()
    expect(card.locator("td.state.running")).to_have_text("0 of 1, 1 running", timeout=PATIENCE_MS)
    lab.picture("run-active")
    gate.touch()
    expect(card.locator(".badge.success")).to_be_visible(timeout=PATIENCE_MS)
    expect(lab.page.locator(".gridcwl-files")).to_contain_text("said.txt", timeout=PATIENCE_MS)
    expect(lab.page.locator(".gridcwl-run")).to_have_count(1)
    lab.picture("run-ended")
