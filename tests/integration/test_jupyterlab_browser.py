"""A real JupyterLab in a real browser: a cell that shows a run while it is active, and its outputs.

JupyterLab is in an environment of its own: ``make test-jupyter`` installs it and runs this. ``GRIDCWL_SCREENSHOTS``
names a folder for pictures.
"""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import nbformat
import pytest
from browser import chromium
from documents import on_command_line, shell, step, tool, workflow
from playwright.sync_api import Browser, Page, ViewportSize, expect, sync_playwright
from waiting import until

PYTHON = os.environ.get("GRIDCWL_JUPYTER_PYTHON", "")
PICTURES = os.environ.get("GRIDCWL_SCREENSHOTS", "")
TOKEN = "not-a-secret"
PATIENCE_MS = 90_000
IDLE = "() => window.jupyterapp.shell.currentWidget?.sessionContext?.session?.kernel?.status === 'idle'"
SIZE: ViewportSize = {"width": 1360, "height": 1000}
LOAD = "%load_ext gridcwl\nimport gridcwl"
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

FAILS = workflow(
    {"words": "string[]", "needed": "string"}, {"out": {"type": "File[]", "outputSource": "talk/out"}},
    talk=step(shell(f"test -e $1 || {{ echo '{EVIL} is missing' >&2; exit 3; }}; echo $0", inputs={
        "word": on_command_line("string"), "needed": {"type": "string", "inputBinding": {"position": 2}},
    }, outputs={"out": "stdout"}), "out", scatter="word", word="words", needed="needed"),
)  # fmt: skip


@dataclass(frozen=True)
class Server:
    """JupyterLab's server on a folder, and a browser."""

    url: str
    folder: Path
    environment: dict[str, str]
    browser: Browser


class Lab:
    """JupyterLab on a folder, and a notebook that is written before it is opened."""

    def __init__(self, server: Server, page: Page) -> None:
        self.url, self.folder, self.environment = server.url, server.folder, server.environment
        self.page = page

    def write(self, name: str, *cells: str) -> Path:
        """Write a notebook."""
        notebook = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(cell) for cell in cells])
        notebook.metadata["kernelspec"] = {"name": "gridcwl-test", "display_name": "gridcwl", "language": "python"}
        notebook.metadata["language_info"] = {"name": "python"}
        path = self.folder / f"{name}.ipynb"
        nbformat.write(notebook, path)
        return path

    def open(self, name: str, *cells: str) -> None:
        """Open a notebook, which is written before if cells are given."""
        if cells:
            self.write(name, *cells)
        self.page.goto(f"{self.url}lab/tree/{name}.ipynb?reset&token={TOKEN}")
        expect(self.page.locator(".jp-Notebook .jp-CodeCell").first).to_be_visible(timeout=PATIENCE_MS)
        self.page.wait_for_function(IDLE, timeout=PATIENCE_MS)

    def command(self, name: str) -> None:
        """Call a command of JupyterLab; does not wait for its end."""
        self.page.evaluate(f"() => {{ window.jupyterapp.commands.execute({name!r}); }}")

    def open_waiting(self, name: str, options: str = "", *cells: str) -> Path:
        """Run a notebook whose run waits for a file to appear; returns that."""
        (self.folder / "steps.cwl").write_text(json.dumps(STEPS))
        gate = self.folder / f"{name}.gate"
        words = "--words a --words b --words c"
        self.open(name, LOAD, f"%gridcwl --outdir {name} steps.cwl {words} --gate {gate} {options}", *cells)
        self.command("notebook:run-all-cells")
        return gate

    def insert(self, code: str) -> None:
        """Add a cell at the end, and run it."""
        self.page.evaluate(
            """code => {
                const model = window.jupyterapp.shell.currentWidget.content.model;
                model.sharedModel.addCell({cell_type: "code", source: code});
                const notebook = window.jupyterapp.shell.currentWidget.content;
                notebook.activeCellIndex = notebook.widgets.length - 1;
                window.jupyterapp.commands.execute("notebook:run-cell");
            }""",
            code,
        )

    def restart_kernel(self) -> None:
        """Restart the kernel, as the menu does when the user has confirmed it."""
        self.page.evaluate("() => window.jupyterapp.shell.currentWidget.sessionContext.session.kernel.restart()")
        self.page.wait_for_function(IDLE, timeout=PATIENCE_MS)

    def picture(self, name: str, page: Page | None = None) -> None:
        """Keep how the page looks."""
        if PICTURES:
            (page or self.page).screenshot(path=Path(PICTURES) / f"{name}.png")

    def pictures(self, name: str) -> None:
        """Keep how it looks, in the dark and narrow, too."""
        if not PICTURES:
            return
        self.picture(name)
        self.theme("JupyterLab Dark")
        self.picture(f"{name}-dark")
        self.theme("JupyterLab Light")
        self.page.set_viewport_size({"width": 640, "height": 1000})
        self.picture(f"{name}-narrow")
        self.page.set_viewport_size(SIZE)

    def theme(self, name: str) -> None:
        """Change to a theme."""
        self.page.evaluate("theme => window.jupyterapp.commands.execute('apputils:change-theme', {theme})", name)
        self.page.wait_for_function("name => document.body.dataset.jpThemeName === name", arg=name, timeout=PATIENCE_MS)


@pytest.fixture
def lab(server: Server) -> Iterator[Lab]:
    """JupyterLab in a page of its own."""
    context = server.browser.new_context(viewport=SIZE)
    page = context.new_page()
    page.set_default_timeout(PATIENCE_MS)
    page.on("dialog", lambda dialog: dialog.accept())  # a changed notebook is left
    yield Lab(server, page)
    context.close()


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
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
    with log, subprocess.Popen(words, env={**os.environ, **own}, stdout=log, stderr=log) as process:
        try:
            runtime = top / "runtime"
            text = until(lambda: process.poll() is not None or [
                written for path in runtime.glob("jpserver-*.json") if (written := path.read_text()).endswith("}")
            ])  # fmt: skip
            assert process.poll() is None, (top / "lab.log").read_text()
            about = json.loads(text[0])
            with sync_playwright() as playwright:
                browser = playwright.chromium.launch(executable_path=chromium(), args=["--no-sandbox"])
                yield Server(about["url"], folder, {**os.environ, **own}, browser)
                browser.close()
        finally:
            process.terminate()


def test_a_run_changes_while_it_is_active_and_its_outputs_show_themselves(lab: Lab) -> None:
    gate = lab.open_waiting("steps", "-o outputs", "outputs")
    card = lab.page.locator(".gridcwl-run").first
    expect(card.locator(".badge.running")).to_be_visible(timeout=PATIENCE_MS)
    expect(card.locator("svg.graph")).to_be_visible()
    expect(card.locator("td.state.running")).to_have_text("0 of 1, 1 running", timeout=PATIENCE_MS)
    expect(card.get_by_role("button", name="Cancel")).to_be_visible(timeout=PATIENCE_MS)
    lab.pictures("run-active")
    gate.touch()
    expect(card.locator(".badge.success")).to_be_visible(timeout=PATIENCE_MS)
    expect(lab.page.locator(".gridcwl-files")).to_contain_text("said.txt", timeout=PATIENCE_MS)
    expect(lab.page.locator(".gridcwl-run")).to_have_count(1)
    expect(lab.page.get_by_role("button", name="Cancel", exact=True)).to_have_count(0)
    lab.pictures("run-ended")


def test_a_run_is_cancelled_while_its_cell_waits_and_then_resumed_by_buttons(lab: Lab) -> None:
    gate = lab.open_waiting("buttons")
    card = lab.page.locator(".gridcwl-run").first
    expect(card.locator("td.state.running")).to_have_text("0 of 1, 1 running", timeout=PATIENCE_MS)
    card.get_by_role("button", name="Cancel").click(timeout=PATIENCE_MS)
    expect(card.locator(".badge.cancelled")).to_be_visible(timeout=PATIENCE_MS)
    expect(lab.page.locator(".jp-OutputArea").last).to_contain_text("was stopped", timeout=PATIENCE_MS)
    lab.pictures("run-cancelled")
    card.get_by_role("button", name="Resume").click(timeout=PATIENCE_MS)
    expect(card.locator("td.state.running")).to_have_text("0 of 1, 1 running", timeout=PATIENCE_MS)
    gate.touch()
    expect(card.locator(".badge.success")).to_be_visible(timeout=PATIENCE_MS)


def test_a_failed_run_shows_its_stderr_as_text_and_is_resumed_when_the_cause_is_fixed(lab: Lab) -> None:
    (lab.folder / "fails.cwl").write_text(json.dumps(FAILS))
    lab.open(
        "fails",
        LOAD,
        f"gridcwl.run('fails.cwl', {{'needed': '{lab.folder}/needed', 'words': ['a', 'b']}}, outdir='fails')",
    )
    lab.command("notebook:run-all-cells")
    card = lab.page.locator(".gridcwl-run").first
    expect(card.locator(".badge.failed")).to_be_visible(timeout=PATIENCE_MS)
    expect(card.locator(".failure pre")).to_contain_text(EVIL, timeout=PATIENCE_MS)
    expect(card.get_by_role("button", name="Resume")).to_be_visible(timeout=PATIENCE_MS)
    lab.pictures("run-failed")
    (lab.folder / "needed").touch()
    card.get_by_role("button", name="Resume").click()
    expect(card.locator(".badge.success")).to_be_visible(timeout=PATIENCE_MS)
    assert lab.page.evaluate("() => window.hacked === undefined")


def test_an_interrupt_detaches_and_after_a_restart_the_last_run_is_active_with_its_buttons(lab: Lab) -> None:
    gate = lab.open_waiting("restarted")
    card = lab.page.locator(".gridcwl-run").first
    expect(card.locator("td.state.running")).to_have_text("0 of 1, 1 running", timeout=PATIENCE_MS)
    lab.command("notebook:interrupt-kernel")
    expect(lab.page.locator(".jp-OutputArea").last).to_contain_text("Detached", timeout=PATIENCE_MS)
    lab.restart_kernel()
    expect(card.get_by_role("status")).to_contain_text("gridcwl.last() shows it", timeout=PATIENCE_MS)
    expect(card.get_by_role("button")).to_have_count(0)
    lab.insert(f"{LOAD}\nrun = gridcwl.last()\nrun")
    again = lab.page.locator(".gridcwl-run").last
    expect(again.get_by_role("button", name="Cancel")).to_be_visible(timeout=PATIENCE_MS)
    gate.touch()
    expect(again.locator(".badge.success")).to_be_visible(timeout=PATIENCE_MS)


def test_an_exported_notebook_shows_the_run_without_script_and_without_the_network(lab: Lab) -> None:
    (lab.folder / "fails.cwl").write_text(json.dumps(FAILS))
    path = lab.write("exported", LOAD, "gridcwl.run('fails.cwl', {'needed': '/none', 'words': ['a']}, outdir='no')")
    words = ("--execute", "--allow-errors", "--to", "html", "--output", "exported.html")
    command = [PYTHON, "-m", "nbconvert", *words, "--ExecutePreprocessor.kernel_name=gridcwl-test", path]
    subprocess.run(command, env=lab.environment, check=True, capture_output=True)
    text = (lab.folder / "exported.html").read_text()
    assert '<script type="application/vnd.jupyter.widget-view+json">' not in text
    page = lab.page.context.new_page()
    page.goto((lab.folder / "exported.html").as_uri())
    card = page.locator(".gridcwl-run").first
    expect(card.locator(".badge.failed")).to_be_visible()
    expect(card).to_contain_text("gridcwl.resume(")
    lab.picture("exported", page)
    page.close()


def test_the_launcher_opens_the_pages_of_the_service_behind_the_proxy(lab: Lab) -> None:
    page = lab.page.context.new_page()
    page.goto(f"{lab.url}gridcwl/?token={TOKEN}", timeout=PATIENCE_MS)
    expect(page).to_have_title(re.compile("gridcwl", re.IGNORECASE), timeout=PATIENCE_MS)
    links = page.locator("a[href^='/']").evaluate_all("all => all.map(one => one.getAttribute('href'))")
    assert links
    assert all(link.startswith("/gridcwl/") for link in links), links
    styled = page.evaluate("() => [...document.styleSheets].every(sheet => sheet.cssRules.length > 0)")
    assert styled
    lab.picture("proxy", page)
    page.close()
