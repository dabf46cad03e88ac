"""A testbed's folder, ports and processes: nothing meets another testbed's, nothing outlives it."""

from __future__ import annotations

import os
import signal
import socket
import sys

import psutil
import pytest

from gridcwl.testbed.errors import TestbedError
from gridcwl.testbed.place import InstallFolder
from gridcwl.testbed.processes import MARK, StartedProcesses
from gridcwl.testbed.waiting import wait_for, wait_for_port

ENV = {"PATH": os.environ["PATH"]}
SLEEPER = [sys.executable, "-c", "import time; time.sleep(600)"]


@pytest.fixture
def place(tmp_path):
    return InstallFolder(tmp_path / "box")


@pytest.fixture
def processes(place):
    made = StartedProcesses(place)
    yield made
    for name in made.names():
        made.stop(name)
    made.stop_orphans()


def test_a_port_is_chosen_once(place):
    assert place.port("rucio") == place.port("rucio") == InstallFolder(place.root).port("rucio")


def test_ports_of_two_names_and_of_two_testbeds_differ(tmp_path):
    places = [InstallFolder(tmp_path / name) for name in ("one", "other")]
    ports = [place.port(name) for place in places for name in ("rucio", "dirac")]
    assert len(set(ports)) == 4


def test_a_port_that_somebody_listens_on_is_not_chosen(place):
    taken = InstallFolder(place.root).port("rucio")
    with socket.create_server(("127.0.0.1", taken)):
        (place.root / "ports.json").unlink()
        assert place.port("rucio") != taken


def test_a_port_can_be_configured(place):
    place.configure_port("rucio", 8443)
    assert (place.port("rucio"), place.known_port("dirac")) == (8443, None)


def test_folders_are_for_their_owner_but_the_root_can_be_passed_through(place):
    assert place.folder("a", "b").stat().st_mode & 0o777 == 0o700
    assert place.root.stat().st_mode & 0o777 == 0o711


def test_a_process_is_started_once_and_stopped(processes):
    processes.start("sleeper", SLEEPER, env=ENV)
    pid = processes.pid("sleeper")
    processes.start("sleeper", SLEEPER, env=ENV)
    assert processes.pid("sleeper") == pid
    assert processes.status("sleeper").state == "up"
    processes.stop("sleeper")
    assert not psutil.pid_exists(pid)
    assert (processes.names(), processes.status("sleeper").state) == ([], "down")


def test_another_process_with_the_same_pid_is_not_ours(place, processes):
    processes.start("sleeper", SLEEPER, env=ENV)
    record = place.root / "pids" / "sleeper.json"
    pid = processes.pid("sleeper")
    record.write_text(f'{{"pid": {os.getpid()}, "started": 1, "argv0": "x"}}')
    assert not processes.alive("sleeper")
    processes.stop("sleeper")  # would end this very test
    os.killpg(pid, signal.SIGKILL)


def test_a_killed_server_is_dead_and_its_children_go_with_stop(place, processes):
    child = (
        "import subprocess, sys, time; subprocess.Popen(['sleep', '600']); print('ready', flush=True); time.sleep(600)"
    )
    processes.start("parent", [sys.executable, "-c", child], env=ENV)
    wait_for(lambda: "ready" in place.log("parent").read_text(), "the child", 120)
    [sleeper] = psutil.Process(processes.pid("parent")).children()
    os.kill(processes.pid("parent"), signal.SIGKILL)
    wait_for(lambda: processes.status("parent").state == "dead", "its death", 120)
    processes.stop("parent")
    wait_for(lambda: not sleeper.is_running() or sleeper.status() == "zombie", "the end of the child", 120)


def test_what_does_not_listen_to_sigterm_is_killed(place, processes):
    stubborn = "import signal, time; signal.signal(15, signal.SIG_IGN); print('ready', flush=True); time.sleep(600)"
    processes.start("stubborn", [sys.executable, "-c", stubborn], env=ENV)
    wait_for(lambda: "ready" in place.log("stubborn").read_text(), "it", 120)
    processes.stop("stubborn", patience_s=0.1)
    assert not processes.alive("stubborn")


def test_what_left_its_group_is_found_by_its_mark(place, processes):
    leave = "import subprocess; subprocess.Popen(['sleep', '600'], start_new_session=True); print('ready', flush=True)"
    processes.start("leaver", [sys.executable, "-c", leave], env=ENV)
    wait_for(lambda: not processes.alive("leaver"), "its end", 120)  # until then, the child is known by its parent
    assert "ready" in place.log("leaver").read_text()
    processes.stop("leaver")
    assert processes.stop_orphans() == 1
    assert processes.stop_orphans() == 0


def test_a_paused_process_continues(processes):
    processes.start("sleeper", SLEEPER, env=ENV)
    processes.pause("sleeper")
    wait_for(lambda: processes.status("sleeper").state == "paused", "the pause", 120)
    processes.resume("sleeper")
    wait_for(lambda: processes.status("sleeper").state == "up", "its end", 120)


def test_a_program_that_does_not_exist_is_reported(processes):
    with pytest.raises(TestbedError, match="/nowhere/server cannot be started for the testbed's server"):
        processes.start("server", ["/nowhere/server"], env=ENV)


def test_the_mark_is_the_testbeds_own(place, processes):
    processes.start("sleeper", SLEEPER, env=ENV)
    assert psutil.Process(processes.pid("sleeper")).environ()[MARK] == str(place.root)


def test_waiting_in_vain_shows_the_end_of_the_log(place, processes):
    processes.start("dying", [sys.executable, "-c", "print('out of memory')"], env=ENV)
    with pytest.raises(TestbedError, match=r"its process has ended(.|\n)*out of memory"):
        wait_for_port(1, 20, log=place.log("dying"), given_up=lambda: not processes.alive("dying"))
