"""A kernel in a job, from JupyterLab's launcher in a real browser; by ``make test-jupyter``.

``GRIDCWL_KERNEL_BACKEND=dirac`` takes the DIRAC of the environment in place of this machine.
"""

from __future__ import annotations

import contextlib
import json
import os
import signal
import socket
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from browser import chromium
from playwright.sync_api import Page, expect, sync_playwright
from waiting import until

PYTHON = os.environ.get("GRIDCWL_JUPYTER_PYTHON", "")
PICTURES = os.environ.get("GRIDCWL_SCREENSHOTS", "")
BACKEND = os.environ.get("GRIDCWL_KERNEL_BACKEND", "local")
TOKEN = "not-a-secret"
PATIENCE_MS = 180_000
IDLE = "() => window.jupyterapp.shell.currentWidget?.sessionContext?.session?.kernel?.status === 'idle'"

pytestmark = [
    pytest.mark.browser,
    pytest.mark.docker,
    pytest.mark.timeout(900),
    pytest.mark.skipif(not PYTHON, reason="make test-jupyter installs JupyterLab and runs this"),
]


class Jupyter:
    """JupyterLab's server, which can be killed and started again."""

    def __init__(self, top: Path) -> None:
        self.folder, self._top = top / "notebooks", top
        self.folder.mkdir()
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            self._port = free.getsockname()[1]
        settings = top / "config" / "lab" / "user-settings" / "@jupyterlab" / "apputils-extension"
        settings.mkdir(parents=True)
        (settings / "notification.jupyterlab-settings").write_text('{"fetchNews": "false", "checkForUpdates": false}')
        own = {f"XDG_{name}_HOME": str(top / name.lower()) for name in ("STATE", "CONFIG", "CACHE")}
        own |= {f"JUPYTER_{name}_DIR": str(top / name.lower()) for name in ("CONFIG", "DATA", "RUNTIME")}
        own |= {"GRIDCWL_STATE_DIR": str(top / "gridcwl"), "GRIDCWL_CONFIG": str(top / "config.toml")}
        (top / "config.toml").write_text('[dirac.engines]\n"*" = ["docker"]\n')
        self.environment = {**os.environ, **own, "IPYTHONDIR": str(top / "ipython"), "HOME": str(top)}
        self.url = f"http://127.0.0.1:{self._port}/"
        self._process: subprocess.Popen[bytes] | None = None

    def add_kernel(self, name: str, *words: str) -> None:
        place = ("--engine", "docker") if BACKEND == "local" else ("--host", "127.0.0.1")
        command = [PYTHON, "-m", "gridcwl", "kernel", "add", name, "--backend", BACKEND, *place, *words]
        subprocess.run(command, env=self.environment, check=True)

    def active(self) -> list[str]:
        """The notebooks of active kernels."""
        listed = subprocess.run(
            [PYTHON, "-m", "gridcwl", "kernel", "ls", "--json"], env=self.environment, check=True, capture_output=True
        )
        return [one["notebook"] for kernel in json.loads(listed.stdout) for one in kernel["active"]]

    def start(self) -> None:
        words = [
            PYTHON, "-m", "jupyterlab", "--no-browser", "--ip=127.0.0.1", f"--port={self._port}",
            f"--IdentityProvider.token={TOKEN}", f"--ServerApp.root_dir={self.folder}", "--allow-root",
            "--LabApp.expose_app_in_browser=True", "--LabApp.extension_manager=readonly", "--LabApp.news_url=",
            "--LabApp.check_for_updates_class=jupyterlab.NeverCheckForUpdate",
        ]  # fmt: skip
        with (self._top / "lab.log").open("ab") as log:
            self._process = subprocess.Popen(words, env=self.environment, stdout=log, stderr=log)
        until(self._answers)

    def _answers(self) -> bool:
        assert self._process is not None
        assert self._process.poll() is None, (self._top / "lab.log").read_text()
        with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", self._port), timeout=1):
            return True
        return False

    def end(self, number: int = signal.SIGTERM) -> None:
        if self._process is not None:
            self._process.send_signal(number)
            self._process.wait()
            self._process = None


@pytest.fixture(scope="module")
def jupyter(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Jupyter]:
    made = Jupyter(tmp_path_factory.mktemp("lab"))
    made.add_kernel("at-lyon", "--title", "ctapipe 0.32 @ LCG.Lyon.fr", "--image", "gridcwl/ipykernel:1")
    made.add_kernel("without", "--title", "debian @ LCG.Lyon.fr", "--image", "debian:trixie-slim")
    try:
        made.start()
        yield made
    finally:
        made.end()
        until(lambda: not made.active(), pause_s=0.5)


@pytest.fixture
def page() -> Iterator[Page]:
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=chromium(), args=["--no-sandbox"])
        opened = browser.new_page(viewport={"width": 1360, "height": 900})
        opened.set_default_timeout(PATIENCE_MS)
        opened.on("dialog", lambda dialog: dialog.accept())
        yield opened
        browser.close()


def picture(page: Page, name: str) -> None:
    if PICTURES:
        page.screenshot(path=Path(PICTURES) / f"{name}.png")


def launch(page: Page, jupyter: Jupyter, title: str) -> None:
    page.goto(f"{jupyter.url}lab?token={TOKEN}&reset")
    card = page.locator(f'.jp-LauncherCard[data-category="Notebook"][title="{title}"]')
    expect(card).to_be_visible(timeout=PATIENCE_MS)
    picture(page, "launcher")
    card.click()


def command(page: Page, name: str) -> None:
    page.evaluate("name => { window.jupyterapp.commands.execute(name); }", name)


def run(page: Page, code: str) -> None:
    """Add a cell at the end, and run it; does not wait."""
    page.evaluate(
        """code => {
            const notebook = window.jupyterapp.shell.currentWidget.content;
            notebook.model.sharedModel.addCell({cell_type: "code", source: code});
            notebook.activeCellIndex = notebook.widgets.length - 1;
            window.jupyterapp.commands.execute("notebook:run-cell");
        }""",
        code,
    )


def test_a_kernel_in_a_job_works_as_any_and_outlives_the_server(jupyter: Jupyter, page: Page) -> None:
    launch(page, jupyter, "ctapipe 0.32 @ LCG.Lyon.fr")
    page.wait_for_function(IDLE, timeout=PATIENCE_MS)
    run(page, "import os\nprint('working in', os.getcwd())")
    last = page.locator(".jp-OutputArea").last
    expect(last).to_contain_text("working in /work", timeout=PATIENCE_MS)
    run(page, "name = input('Who? ')\nprint('Hello', name)")
    page.locator(".jp-Stdin-input").fill("you")
    page.keyboard.press("Enter")
    expect(page.locator(".jp-OutputArea").last).to_contain_text("Hello you", timeout=PATIENCE_MS)
    run(page, "import ipywidgets\nslider = ipywidgets.IntSlider(value=3, description='energy')\nslider")
    handle = page.locator(".widget-slider .noUi-handle, .widget-slider .ui-slider-handle").first
    handle.press("ArrowRight")
    run(page, "print('moved to', slider.value)")
    expect(page.locator(".jp-OutputArea").last).to_contain_text("moved to 4", timeout=PATIENCE_MS)
    run(page, "import time\nprint('sleeping')\ntime.sleep(10_000)")
    expect(page.locator(".jp-OutputArea").last).to_contain_text("sleeping", timeout=PATIENCE_MS)
    command(page, "notebook:interrupt-kernel")
    expect(page.locator(".jp-OutputArea").last).to_contain_text("KeyboardInterrupt", timeout=PATIENCE_MS)
    page.wait_for_function(IDLE, timeout=PATIENCE_MS)
    picture(page, "kernel")
    command(page, "docmanager:save")
    until(lambda: "moved to" in (jupyter.folder / "Untitled.ipynb").read_text())
    # the server is killed, and started again: the notebook has its kernel again
    jupyter.end(signal.SIGKILL)
    assert jupyter.active() == [str(jupyter.folder / "Untitled.ipynb")]
    jupyter.start()
    page.goto(f"{jupyter.url}lab/tree/Untitled.ipynb?token={TOKEN}&reset")
    page.wait_for_function(IDLE, timeout=PATIENCE_MS)
    run(page, "print('still', name)")
    expect(page.locator(".jp-OutputArea").last).to_contain_text("still you", timeout=PATIENCE_MS)
    # a restart is a new kernel in the same job
    page.evaluate("() => window.jupyterapp.shell.currentWidget.sessionContext.session.kernel.restart()")
    page.wait_for_function(IDLE, timeout=PATIENCE_MS)
    run(page, "print('name' in globals())")
    expect(page.locator(".jp-OutputArea").last).to_contain_text("False", timeout=PATIENCE_MS)
    command(page, "notebook:shutdown-kernel")
    until(lambda: not jupyter.active(), pause_s=0.5)


def test_an_image_without_ipykernel_is_reported_where_the_kernel_was_chosen(jupyter: Jupyter, page: Page) -> None:
    launch(page, jupyter, "debian @ LCG.Lyon.fr")
    dialog = page.locator(".jp-Dialog-content")
    expect(dialog).to_contain_text("The image debian:trixie-slim has no ipykernel", timeout=PATIENCE_MS)
    picture(page, "kernel-without")
