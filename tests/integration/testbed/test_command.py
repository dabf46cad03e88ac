"""``gridcwl testbed`` as a person uses it, on the tests' own testbed."""

from __future__ import annotations

import os
import re
import signal
import subprocess
from datetime import timedelta

import pytest

from gridcwl.cli.main import main
from gridcwl.testbed.place import InstallFolder
from gridcwl.testbed.service import InstallOptions
from gridcwl.testbed.testbed import Testbed
from gridcwl.testbed.waiting import listens, wait_for

pytestmark = pytest.mark.usefixtures("rucio")


@pytest.fixture
def at(testbed):
    return ["--dir", str(testbed.place.root)]


def test_up_again_does_nothing_and_is_quick(at, testbed, capsys):
    before = {each.name: each.pid for each in testbed.status()}
    assert main(["testbed", "up", *at]) == 0
    assert {each.name: each.pid for each in testbed.status()} == before
    assert "starting" not in capsys.readouterr().err


def test_status_shows_every_server_with_its_port(at, capsys):
    assert main(["testbed", "status", *at]) == 0
    shown = capsys.readouterr().out
    for name in ("oidc", "xrootd", "rucio", "postgresql"):
        assert re.search(rf"^{name} +up +\d+ +\d+", shown, re.MULTILINE)


def test_env_is_for_a_shell(at, capfd):
    assert main(["testbed", "env", *at, "--account", "alice"]) == 0
    exports = capfd.readouterr().out
    result = subprocess.run(
        ["sh", "-c", f"{exports}\ngrep account $RUCIO_CONFIG"], capture_output=True, text=True, check=True
    )
    assert result.stdout == "account = alice\n"


def test_secrets_are_in_files_for_their_owner_and_nowhere_else(testbed, at, capsys):
    secrets = [path.read_text() for path in (testbed.place.root / "secrets").iterdir()]
    main(["testbed", "env", *at])
    main(["testbed", "status", *at])
    shown = capsys.readouterr()
    logs = "".join(path.read_text(errors="replace") for path in (testbed.place.root / "log").glob("*.log"))
    processes = subprocess.run(["ps", "-eo", "args"], capture_output=True, text=True, check=True).stdout
    for secret in secrets:
        assert secret not in shown.out + shown.err + logs + processes
    assert {path.stat().st_mode & 0o777 for path in (testbed.place.root / "secrets").iterdir()} == {0o600}


def test_logs_are_shown_by_name(at, capfd):
    assert main(["testbed", "logs", *at]) == 0
    assert "rucio" in capfd.readouterr().out.split()
    assert main(["testbed", "logs", "xrootd", *at]) == 0
    assert "HTTPS initialization completed" in capfd.readouterr().out
    assert main(["testbed", "logs", "ftp", *at]) == 1
    assert "has no log of 'ftp'" in capfd.readouterr().err


def test_the_proof_of_rucios_half(testbed):
    from gridcwl.testbed.rucio.selftest import selftest

    rows = selftest(testbed, print)
    assert {each.what for each in rows if not each.passed} == set()
    assert len(rows) == 5


def test_a_testbed_that_does_not_exist_is_reported(tmp_path, capsys):
    assert main(["testbed", "status", "--dir", str(tmp_path / "none")]) == 1
    assert "Make one: gridcwl testbed up." in capsys.readouterr().err


def test_an_unknown_service_is_refused_before_anything_is_done(tmp_path, capsys):
    assert main(["testbed", "up", "--dir", str(tmp_path / "none"), "--with", "rucio,ftp"]) == 1
    assert "no service 'ftp'" in capsys.readouterr().err
    assert not (tmp_path / "none").exists()


def test_a_dead_server_is_seen_and_fixed(at, testbed, faults, capsys):
    faults.kill("memcached")  # undone by mending
    pid = testbed.processes.pid("oidc")
    os.kill(pid, signal.SIGKILL)
    wait_for(lambda: not testbed.processes.alive("oidc"), "its death", 120)
    assert main(["testbed", "status", *at]) == 1
    assert main(["testbed", "up", *at]) == 0
    assert main(["testbed", "status", *at]) == 0
    assert testbed.processes.pid("oidc") != pid
    capsys.readouterr()


def test_a_second_testbed_next_to_it_meets_nothing_of_it_and_leaves_nothing(testbed, capsys):
    """A token issuer alone: what is slow to start is not what is tested here."""
    other = Testbed(
        InstallFolder(testbed.place.root.parent / f"{testbed.place.root.name}-other").root, InstallOptions(("oidc",))
    )
    before = {each.name: each.pid for each in testbed.status()}
    other.up(print)
    mine, theirs = (each.service("oidc").token("alice", timedelta(minutes=1)) for each in (testbed, other))
    assert testbed.place.port("oidc") != other.place.port("oidc")
    assert mine != theirs
    [status] = other.status()
    assert main(["testbed", "down", "--wipe", "--dir", str(other.place.root)]) == 0
    assert not other.place.root.exists()
    assert not listens(status.port)
    assert {each.name: each.pid for each in testbed.status()} == before
    capsys.readouterr()
