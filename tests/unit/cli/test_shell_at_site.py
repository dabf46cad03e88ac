"""``gridcwl shell --site``: a job's container at a site, by a node that connects outwards to the user's terminal."""

from __future__ import annotations

import contextlib
import fcntl
import io
import os
import pty
import ssl
import struct
import subprocess
import sys
import termios
from collections.abc import Iterator
from pathlib import Path

import pytest
from commandline import gridcwl
from documents import Desk, new_desk, on_command_line, shell
from pool_nodes import NodesHere
from waiting import until

from gridcwl.backends.dirac import factory
from gridcwl.backends.nodes import (
    NODE_CERTIFICATE,
    NODE_KEY,
    NodeRequest,
    listening_socket,
    server_tls,
    write_certificate,
)
from gridcwl.cli import shell_at_site
from gridcwl.cli.interactive import at_terminal
from gridcwl.cli.shell import main
from gridcwl.errors import BackendError
from gridcwl.worker.pool_node import tls_of

HERE = ("--image", "any", "--no-container", "--backend", "local")


@pytest.fixture
def desk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Desk:
    return new_desk(tmp_path, monkeypatch)


def command(*words: str) -> list[str]:
    return [sys.executable, "-m", "gridcwl", "shell", *words]


def opened(*words: str, text: str = "") -> subprocess.CompletedProcess[str]:
    return subprocess.run(command(*words), input=text, capture_output=True, text=True, check=False)


def ended(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "Z"
    except OSError:
        return True


def test_inputs_of_this_machine_go_along_and_streams_and_exit_code_come_back(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
):
    scratch = desk.folder / "scratch"
    scratch.mkdir()
    monkeypatch.setenv("TMPDIR", str(scratch))
    desk.write("a b.txt", "one\n")
    desk.write("folder/inside.txt", "two\n")
    words = ("-i", "a b.txt", "-i", "folder", "--", 'cat "a b.txt" folder/inside.txt; echo err >&2; cat; exit 5')
    done = opened(*HERE, *words, text="three\n")
    assert (done.stdout, done.returncode) == ("one\ntwo\nthree\n", 5), done.stderr
    assert "err\n" in done.stderr
    assert list(scratch.iterdir()) == []


@pytest.mark.usefixtures("desk")
def test_large_outputs_come_whole():
    done = opened(*HERE, "--", "head -c 3000000 /dev/zero | tr '\\0' x; exit 0")
    assert (len(done.stdout), done.returncode) == (3_000_000, 0), done.stderr


def test_a_job_of_a_run_is_opened_as_it_was(desk: Desk):
    document = shell(
        'grep -q good "$0"', inputs={"data": on_command_line("File")}, outputs={},
        requirements={"EnvVarRequirement": {"envDef": {"image": "not one"}}},
    )  # fmt: skip
    given = desk.write("in.json", {"data": {"class": "File", "path": desk.write("d.txt", "bad\n")}})
    path = desk.write("d.cwl", document)
    assert gridcwl("--no-container", "--quiet", path, given).code == 1
    done = opened(
        "last", Path(path).name, "--backend", "local", "--no-container", "--", 'cat "$HOME"/../in/*/*; exit 4'
    )
    assert (done.stdout, done.returncode) == ("bad\n", 4), done.stderr
    assert "ended with" in done.stderr


@pytest.mark.usefixtures("desk")
def test_the_command_has_a_terminal_of_this_one_s_size_and_ctrl_c_is_its_own():
    master, slave = pty.openpty()
    fcntl.ioctl(slave, termios.TIOCSWINSZ, struct.pack("HHHH", 33, 77, 0, 0))
    script = "trap 'echo interrupted; exit 9' INT; stty size; echo ready; while :; do sleep 0.1; done"
    seen = b""
    with subprocess.Popen(
        command(*HERE, "--", script), stdin=slave, stdout=slave, stderr=subprocess.DEVNULL
    ) as process:
        while b"ready" not in seen:
            seen += os.read(master, 4096)
        os.write(master, b"\x03")
        while b"interrupted" not in seen:
            seen += os.read(master, 4096)
        assert process.wait() == 9
    os.close(slave)
    os.close(master)
    assert b"33 77" in seen


def test_when_the_user_s_side_is_killed_what_ran_at_the_site_ends(desk: Desk):
    note = desk.folder / "pid"
    script = f"echo $$ > {note}.new; mv {note}.new {note}; while :; do sleep 0.1; done"
    with subprocess.Popen(command(*HERE, "--", script), stdin=subprocess.PIPE, stderr=subprocess.DEVNULL) as process:
        until(note.exists)
        process.kill()
    pid = int(note.read_text())
    until(lambda: ended(pid))


class NoNodes:
    """A place whose nodes have ended before they connected."""

    def __init__(self) -> None:
        self.stopped: list[str] = []

    def start(self, request: NodeRequest) -> str:
        raise NotImplementedError

    def ended(self, node: str) -> str | None:
        return f"{node} ended with Failed: there is no Python 3.9."

    def end(self, node: str) -> None:
        self.stopped.append(node)


def test_a_node_that_ends_before_it_connects_is_an_error_that_says_why(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(shell_at_site, "_LOOK_S", 0.01)
    write_certificate(tmp_path / NODE_CERTIFICATE, tmp_path / NODE_KEY)
    nodes = NoNodes()
    with listening_socket("127.0.0.1", 0) as listening, pytest.raises(BackendError, match=r"no Python 3\.9$"):
        shell_at_site._served(nodes, "job 7", listening, server_tls(tmp_path), terminal=False, here=False)
    assert nodes.stopped == ["job 7"]


def test_whoever_has_another_certificate_is_refused_on_both_sides(tmp_path: Path):
    for name in ("ours", "theirs"):
        (tmp_path / name).mkdir()
        write_certificate(tmp_path / name / NODE_CERTIFICATE, tmp_path / name / NODE_KEY)
    served = server_tls(tmp_path / "ours")
    theirs = tls_of(str(tmp_path / "theirs" / NODE_CERTIFICATE), str(tmp_path / "theirs" / NODE_KEY))
    assert not (tmp_path / "theirs" / NODE_KEY).exists()
    incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
    server = served.wrap_bio(incoming, outgoing, server_side=True)
    client = theirs.wrap_bio(outgoing, incoming)

    def shake_hands() -> None:
        for side in (client, server) * 10:
            with contextlib.suppress(ssl.SSLWantReadError):
                side.do_handshake()

    with pytest.raises(ssl.SSLError):
        shake_hands()


@contextlib.contextmanager
def _grid(nodes: NodesHere) -> Iterator[NodesHere]:
    yield nodes


def test_at_a_site_a_dirac_job_is_the_node(
    desk: Desk, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
):
    nodes = NodesHere(desk.folder / "grid")
    monkeypatch.setattr(factory, "open_server", lambda *_: _grid(nodes))
    desk.write("config.toml", '[dirac.engines]\n"*" = ["none"]\n')
    monkeypatch.setenv("GRIDCWL_CONFIG", str(desk.folder / "config.toml"))
    path = desk.write("a.txt", "hello\n")
    where = ("--site", "LCG.Here.org", "--host", "127.0.0.1")
    assert main(["--image", "x", *where, "-i", path, "--", "cat", "a.txt"]) == 0
    nodes.wait()
    seen = capfd.readouterr()
    assert seen.out == "hello\n"
    assert " at LCG.Here.org" in seen.err
    assert "LCG.Here.org" in nodes.descriptions[0]


MISTAKES = [
    (("--image", "x", "--host", "h"), "--host needs --site"),
    (("--image", "x", "--backend", "local", "--site", "S"), "--backend local takes no --site"),
    (("--image", "x", "--site", "S", "--docker"), "engine is that of this machine"),
    (("--image", "x", "--backend", "dask"), "dask has no nodes for shells"),
    (("--image", "x", "--backend", "nothing"), "nothing"),
]


@pytest.mark.usefixtures("desk")
@pytest.mark.parametrize(("words", "message"), MISTAKES, ids=[message for _, message in MISTAKES])
def test_mistakes_are_errors_that_name_them(words: tuple[str, ...], message: str):
    result = gridcwl("shell", *words, "--", "true")
    assert result.code != 0
    assert message in result.stderr
    assert "Traceback" not in result.stderr


def test_inputs_too_large_to_go_along_are_refused_with_what_to_do(desk: Desk):
    (desk.folder / "large").write_bytes(b"x" * (7 << 20))
    result = gridcwl(
        "shell", "--image", "x", "--backend", "local", "--no-container", "-i", str(desk.folder / "large"), "--", "true"
    )
    assert result.code != 0
    assert "more than 6 MiB would travel" in result.stderr


def test_streams_that_are_closed_are_no_terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    closed = io.StringIO()
    closed.close()
    for stream in (None, closed):
        monkeypatch.setattr(sys, "stdin", stream)
        assert not at_terminal()
