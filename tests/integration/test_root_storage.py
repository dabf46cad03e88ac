"""``root://`` with the real tools and a real XRootD, for storage elements that speak nothing else."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path

import pytest

from gridcwl.worker.storage import Known, way_to

pytestmark = [
    pytest.mark.xrootd,
    pytest.mark.skipif(
        not (shutil.which("xrootd") and shutil.which("xrdcp")), reason="xrootd-server or xrootd-client is not installed"
    ),
]


GFAL = ("gfal-copy", "gfal-sum", "gfal-rename", "gfal-rm", "gfal-cat")


@pytest.fixture(params=["xrdcp", "gfal-copy"], autouse=True)
def tool(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    """Whose tools a worker has: XRootD's, or only those of gfal."""
    if request.param == "gfal-copy":
        if not all(map(shutil.which, GFAL)):
            pytest.skip("gfal2-util-scripts or gfal2-plugin-xrootd is not installed")
        monkeypatch.setenv("GFAL_PYTHONBIN", "/usr/bin/python3")  # its scripts want the Python that has its library
        real = shutil.which
        monkeypatch.setattr(shutil, "which", lambda name: None if name.startswith("xrd") else real(name))
    chosen: str = request.param
    return chosen


def check() -> None:
    """Nothing stops a transfer."""


@pytest.fixture(scope="module")
def url() -> Iterator[str]:
    """A server's prefix, with room for all."""
    with ExitStack() as stack:
        for _ in range(4):
            with suppress(PortTaken):
                yield stack.enter_context(serving())
                return
        yield stack.enter_context(serving())


class PortTaken(Exception):
    """The server has ended: since the port was found free, somebody else has taken it."""


@contextmanager
def serving() -> Iterator[str]:
    """A server at a port that was free just now."""
    with tempfile.TemporaryDirectory(prefix="gridcwl-xrootd-", ignore_cleanup_errors=True) as name:
        folder = Path(name)
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            port = probe.getsockname()[1]
        (folder / "data" / "rucio").mkdir(parents=True)
        (folder / "admin").mkdir()
        (folder / "cfg").write_text(
            f"all.export /rucio r/w\noss.localroot {folder}/data\nall.adminpath {folder}/admin\n"
            f"all.pidpath {folder}/admin\nxrd.port {port}\nxrd.network nodnr\nxrootd.chksum max 2 adler32\n"
        )
        subprocess.run(["chown", "-R", "xrootd:xrootd", name], check=True)
        command = ["xrootd", "-l", f"{name}/admin/log", "-c", f"{name}/cfg", "-n", "test"]
        server = subprocess.Popen(["setpriv", "--reuid=xrootd", "--regid=xrootd", "--clear-groups", *command])
        try:
            patience = time.monotonic() + 120
            # Who comes too early is made to wait for two minutes by XRootD's client, unless an option forbids it.
            quickly = {**os.environ, "XRD_CONNECTIONWINDOW": "1", "XRD_CONNECTIONRETRY": "1"}
            look = ["xrdfs", f"localhost:{port}", "ls", "/rucio"]
            while subprocess.run(look, env=quickly, capture_output=True, check=False).returncode:
                if server.poll() is not None:
                    raise PortTaken
                assert time.monotonic() < patience, "xrootd does not answer"
            yield f"root://localhost:{port}//rucio/"
        finally:
            server.terminate()
            server.wait()


def test_a_file_is_put_looked_at_renamed_read_and_removed(url: str, tmp_path: Path) -> None:
    way, final = way_to(url), f"{url}deep/er/file"
    (tmp_path / "source").write_bytes(b"the bytes\n" * 10_000)
    way.ready(url)
    assert way.look(final) is None
    arrived = way.put(str(tmp_path / "source"), final + ".part", check)
    way.rename(final + ".part", final)
    assert way.look(final) == arrived
    got = way.get(final, str(tmp_path / "target"), check)
    assert arrived.mismatch(got) == ""
    assert (tmp_path / "target").read_bytes() == (tmp_path / "source").read_bytes()
    assert way.first(final, 9) == b"the bytes"
    way.remove(final)
    assert way.look(final) is None


def test_what_has_a_name_is_replaced(url: str, tmp_path: Path) -> None:
    way, final = way_to(url), f"{url}again/file"
    for text in ("half", "the whole of it"):
        (tmp_path / "source").write_text(text)
        arrived = way.put(str(tmp_path / "source"), final + ".part", check)
        way.rename(final + ".part", final)
    assert way.look(final) == arrived
    way.get(final, str(tmp_path / "target"), check)
    assert (tmp_path / "target").read_text() == "the whole of it"


def test_what_is_not_there_is_reported(url: str, tmp_path: Path, tool: str) -> None:
    from gridcwl.worker.failure import SourceUnavailable

    with pytest.raises(SourceUnavailable, match=tool):
        way_to(url).get(f"{url}gone", str(tmp_path / "x"), check)


def test_sizes_that_are_not_known_speak_against_nothing() -> None:
    assert Known(None, "00000001").mismatch(Known(5, "00000001")) == ""
