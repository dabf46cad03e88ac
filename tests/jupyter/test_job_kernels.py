"""Jupyter kernels in jobs: jobs of this machine, through relay, TLS and node as at a site."""

from __future__ import annotations

import asyncio
import json
import os
import re
import stat
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import jupyter_kernel_test
import pytest
from job_kernels import PATIENCE_S, added, own_jupyter, printed, started, until_said
from jupyter_client.manager import AsyncKernelManager, KernelManager
from waiting import until

from gridcwl.cli.main import main
from gridcwl.jupyter.kernels import model

pytestmark = pytest.mark.timeout(300)
HTML = "from IPython.display import HTML, display; display(HTML('<b>x</b>'))"


@pytest.fixture(scope="module", autouse=True)
def jupyter(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    with own_jupyter(tmp_path_factory.mktemp("jupyter")):
        added("grid", "--title", "Python in a job")
        yield


class TestAsAnyKernel(jupyter_kernel_test.KernelTests):  # type: ignore[misc]  # without types
    """What ``jupyter_kernel_test`` expects of a kernel."""

    kernel_name = "grid"
    language_name = "python"
    code_hello_world = "print('hello, world')"
    code_stderr = "import sys; print('oops', file=sys.stderr)"
    completion_samples = [{"text": "impo", "matches": {"import"}}]  # noqa: RUF012
    complete_code_samples = ["1", "print('hello')"]  # noqa: RUF012
    incomplete_code_samples = ["def f(x):", "('''"]  # noqa: RUF012
    invalid_code_samples = ["import = 7q"]  # noqa: RUF012
    code_page_something = "zip?"
    code_generate_error = "1/0"
    code_execute_result = [{"code": "1+2+3", "result": "6"}]  # noqa: RUF012
    code_display_data = [{"code": HTML, "mime": "text/html"}]  # noqa: RUF012
    code_history_pattern = "1?2*"
    supported_history_operations = ("tail", "search")
    code_inspect_sample = "zip"
    code_clear_output = "from IPython.display import clear_output; clear_output()"


def test_a_kernel_is_used_restarted_and_interrupted_in_one_job(capsys: pytest.CaptureFixture[str]) -> None:
    with started("grid") as (manager, client):
        (record,) = model.active()
        assert stat.S_IMODE(record.folder.stat().st_mode) == 0o700
        assert stat.S_IMODE(Path(record.sockets).stat().st_mode) == 0o700
        assert not list(record.folder.glob("job-*/node-key.pem")), "the node has removed its key"
        written = [path.read_text("utf-8", "replace") for path in record.folder.glob("job-*/*.json")]
        assert written, "the key that signs messages travels by TLS only"
        assert not any(record.key in text for text in written)
        assert main(["kernel", "ls"]) == 0
        assert re.search(r"^grid +Python in a job +local +1 +none +1$", capsys.readouterr().out, re.MULTILINE)
        # standard input
        client.allow_stdin = True
        client.execute("print('Hello ' + input('Who? '))")
        assert client.get_stdin_msg(timeout=PATIENCE_S)["content"]["prompt"] == "Who? "
        client.input("you")
        until_said(client, "Hello you")
        # large outputs
        assert len(printed(client, "for _ in range(8): print('x' * 999_999)")) == 8_000_000
        # an interrupt
        client.execute("import time\nprint('sleeping')\ntime.sleep(1000)")
        until_said(client, "sleeping")
        manager.interrupt_kernel()
        assert client.get_shell_msg(timeout=PATIENCE_S)["content"]["status"] == "error"
        # files in the working folder are kept when the kernel is restarted, variables are not
        printed(client, "x = 1; open('kept', 'w').write('kept')")
        manager.restart_kernel()
        client.wait_for_ready(timeout=PATIENCE_S)
        assert printed(client, "open('kept').read()") == "'kept'"
        assert printed(client, "x") == "NameError"
        assert len(list(record.folder.glob("job-*"))) == 1
        # one that is killed counts as dead, and starts again
        client.execute("import os, signal; os.kill(os.getpid(), signal.SIGKILL)")
        until(lambda: not manager.is_alive())
        manager.restart_kernel(now=True)
        client.wait_for_ready(timeout=PATIENCE_S)
        assert printed(client, "1 + 1") == "2"
        manager.shutdown_kernel()
        assert not manager.is_alive()
    until(lambda: not record.folder.exists() and not Path(record.sockets).exists())


SERVER = """
import os, sys
from jupyter_client.manager import KernelManager
manager = KernelManager(kernel_name="grid")
manager.start_kernel(env={**os.environ, "JPY_SESSION_NAME": sys.argv[1]})
client = manager.client()
client.start_channels()
client.wait_for_ready(timeout=120)
client.execute_interactive("x = 'still here'", timeout=120)
os._exit(9)
"""


def test_a_jupyter_server_that_was_killed_finds_the_kernel_of_a_notebook_again(tmp_path: Path) -> None:
    notebook = str(tmp_path / "a.ipynb")
    assert subprocess.run([sys.executable, "-c", SERVER, notebook], check=False).returncode == 9
    (record,) = model.active()

    async def loaded() -> Any:
        """By what a manager may have recorded."""
        manager = AsyncKernelManager(kernel_name="grid")
        await manager._async_pre_start_kernel(env={**os.environ, "JPY_SESSION_NAME": notebook})
        provisioner: Any = manager.provisioner
        info = await provisioner.get_provisioner_info()
        assert info["folder"] == str(record.folder)
        assert record.key not in json.dumps(info["folder"])
        await provisioner.load_provisioner_info(info)
        assert await provisioner.poll() is None
        provisioner._lease.close()

    asyncio.run(loaded())
    with started("grid", notebook) as (manager, client):
        assert printed(client, "x") == "'still here'"
        with started("grid", notebook) as (_, other):  # that one has a server
            assert printed(other, "x") == "NameError"
        manager.restart_kernel()
        client.wait_for_ready(timeout=PATIENCE_S)
        assert printed(client, "x") == "NameError"


@pytest.mark.docker
def test_a_kernel_runs_in_a_container_and_one_without_ipykernel_is_reported() -> None:
    added("container", "--image", "gridcwl/ipykernel:1", "--engine", "docker")
    with started("container") as (manager, client):
        assert printed(client, "import os; os.getcwd()") == "'/work'"
        client.execute("import time\nprint('sleeping')\ntime.sleep(1000)")
        until_said(client, "sleeping")
        manager.interrupt_kernel()
        assert client.get_shell_msg(timeout=PATIENCE_S)["content"]["status"] == "error"
    added("without", "--image", "debian:trixie-slim", "--engine", "docker")
    with pytest.raises(Exception, match=r"The image debian:trixie-slim has no ipykernel"), started("without"):
        pass


def test_kernels_are_listed_replaced_and_removed(capsys: pytest.CaptureFixture[str]) -> None:
    added("one", "--image", "registry.org:5000/a/ctapipe:0.32.0", "--cores", "2", "--engine", "podman")
    added("one", "--image", "registry.org:5000/a/ctapipe:0.33.0")
    capsys.readouterr()
    assert main(["kernel", "ls", "--json"]) == 0
    (found,) = [one for one in json.loads(capsys.readouterr().out) if one["name"] == "one"]
    assert (found["title"], found["cores"], found["active"]) == ("ctapipe 0.33.0 @ this machine", 1, [])
    assert main(["kernel", "rm", "one"]) == 0
    assert main(["kernel", "rm", "one"]) != 0
    assert "There is no kernel one of gridcwl's" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("--site", "LCG.Lyon.fr"), "--site needs another backend than local"),
        (("--engine", "docker"), "--engine needs --backend local and --image"),
        (("-i", "/etc/passwd"), "-i takes DIDs and URLs, not /etc/passwd"),
        (("-i", "file:///etc/passwd"), "-i takes DIDs and URLs"),
        (("--idle", "soon"), "takes a time such as"),
        (("--backend", "pool"), "--backend"),
    ],
)
def test_what_cannot_be_a_kernel_is_refused(
    words: tuple[str, ...], message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    backend = () if "--backend" in words else ("--backend", "local")
    assert main(["kernel", "add", "wrong", *backend, *words]) != 0
    assert message in capsys.readouterr().err


def test_a_kernel_of_another_program_is_not_replaced(capsys: pytest.CaptureFixture[str]) -> None:
    folder = Path(os.environ["JUPYTER_DATA_DIR"]) / "kernels" / "theirs"
    folder.mkdir(parents=True)
    (folder / "kernel.json").write_text(json.dumps({"argv": ["x"], "display_name": "x", "language": "x"}))
    assert main(["kernel", "add", "theirs", "--backend", "local"]) != 0
    assert "There is a kernel theirs, which is not gridcwl's" in capsys.readouterr().err
    assert main(["kernel", "add", "../x", "--backend", "local"]) != 0
    assert "cannot be a kernel's name" in capsys.readouterr().err


def test_what_ended_by_itself_is_not_started_again_by_jupyter_but_by_a_person() -> None:
    manager = KernelManager(kernel_name=added("short", "--idle", "1s"))
    manager.start_kernel()
    try:
        until(lambda: not manager.is_alive())
        with pytest.raises(Exception, match=r"The kernel was idle for 1 s"):
            manager.restart_kernel(now=True)  # as Jupyter's restarter does it
        manager.restart_kernel()
    finally:
        manager.shutdown_kernel(now=True)
