"""What ``gridcwl doctor`` finds, on machines where one thing at a time is wrong."""

from __future__ import annotations

import json
import os
import shutil
import sys
import threading
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from http.server import BaseHTTPRequestHandler, HTTPServer
from types import SimpleNamespace

import pytest
from commandline import gridcwl

from gridcwl import imports, plugins
from gridcwl.backends.base import BackendPlugin
from gridcwl.cli import health
from gridcwl.config import Config
from gridcwl.errors import ConfigError
from gridcwl.health import HealthCheck, clock, credential
from gridcwl.stores.base import StorePlugin


@pytest.fixture(autouse=True)
def plain_machine(tmp_path, monkeypatch):
    """Nothing of a grid is configured, and a container engine is not asked."""
    for name in list(os.environ):
        if name.startswith(("DIRAC", "RUCIO", "X509", "GRIDCWL_")):
            monkeypatch.delenv(name)
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("DOCKER_HOST", f"unix://{tmp_path}/no.sock")
    for name in ("STATE", "CACHE"):
        monkeypatch.setenv(f"XDG_{name}_HOME", str(tmp_path / name.lower()))


def found(check: str, config: Config | None = None) -> HealthCheck:
    return next(finding for finding in health.findings(config or Config()) if finding.check == check)


def test_a_missing_node_is_a_warning_with_the_remedy(monkeypatch):
    monkeypatch.setattr(shutil, "which", lambda _name: None)
    node = found("node")
    assert (node.state, node.remedy) == ("warning", "Install nodejs (apt install nodejs).")
    assert found("node", Config(javascript=False)).state == "unused"


def test_an_engine_that_does_not_answer_is_an_error_only_if_it_is_the_one_to_use():
    assert found("docker").state == "error"
    assert "--podman" in found("docker").remedy
    states = {finding.check: finding.state for finding in health.findings(Config(engine="none"))}
    assert "docker" not in states


def test_an_engine_that_is_configured_and_not_installed_is_an_error():
    udocker = found("udocker", Config(engine="udocker"))
    assert (udocker.state, udocker.text) == ("error", "not installed")


def test_what_is_not_installed_is_an_error_only_if_the_configuration_needs_it(monkeypatch):
    monkeypatch.setattr(imports, "installed", lambda _name: False)
    assert found("Rucio").state == "unused"
    rucio = found("Rucio", Config(store="rucio"))
    assert rucio.state == "error"
    assert rucio.remedy == "pip install 'gridcwl[rucio]'"
    assert found("DIRAC", Config(backend="dirac")).remedy == "pip install 'gridcwl[dirac]'"
    assert found("DiracX", Config(backend="diracx")).remedy == "pip install 'gridcwl[diracx]'"


def test_plugins_of_others_are_checked_too(monkeypatch):
    bucket = StorePlugin("s3", "object storage", "store_of_others", title="S3", hooks=frozenset({"health"}))
    bare = BackendPlugin("htcondor", "HTCondor", "backend_of_others", packages=("no_such_package",), install="pip x")
    module = SimpleNamespace(health=lambda _settings, needed: [HealthCheck("S3", "ok", f"answers, {needed=}")])
    monkeypatch.setitem(sys.modules, "store_of_others", module)
    monkeypatch.setattr(plugins, "stores", lambda: {"s3": bucket})
    monkeypatch.setattr(plugins, "backends", lambda: {"htcondor": bare})
    assert found("S3", Config(store="s3")).text == "answers, needed=True"
    assert found("htcondor") == HealthCheck("htcondor", "unused", "not installed", "To use it: pip x")
    module.health = None  # a mistake in a plugin
    assert found("S3").state == "error"


@pytest.mark.parametrize(
    ("left", "state", "text"),
    [
        (timedelta(days=3), "ok", "user me, valid for 71 h 59 min"),
        (timedelta(hours=2), "warning", "user me, valid for 1 h 59 min"),
        (timedelta(hours=-2), "error", "user me, ended"),
    ],
)
def test_a_credential_is_judged_by_how_long_it_lasts(left, state, text):
    ends = datetime.now(UTC) + left
    finding = credential("DIRAC credential", lambda: ("user me", ends, "dirac-proxy-init"))
    assert finding.state == state
    assert finding.text.startswith(text)
    assert ("dirac-proxy-init" in finding.remedy) == (state != "ok")


def test_a_credential_that_cannot_be_read_is_an_error_with_the_remedy():
    def fail():
        raise ConfigError("There is no proxy", remedy="dirac-proxy-init")

    assert credential("x", fail) == HealthCheck("x", "error", "There is no proxy", "dirac-proxy-init")


def test_a_proxy_that_is_named_and_not_there_is_an_error(monkeypatch):
    monkeypatch.setenv("X509_USER_PROXY", "/nowhere/x509")
    assert found("X.509 proxy").state == "error"


@pytest.mark.parametrize(("free", "state"), [(100_000_000, "error"), (2_000_000_000, "warning"), (10**12, "ok")])
def test_a_folder_is_judged_by_the_space_that_is_left(monkeypatch, free, state):
    monkeypatch.setattr(shutil, "disk_usage", lambda _path: SimpleNamespace(free=free))
    folder = found("working folder")
    assert folder.state == state
    assert ("--tmpdir-prefix" in folder.remedy) == (state != "ok")


def test_a_folder_that_cannot_be_written_is_an_error():
    folder = found("state folder", Config(state_dir=health.Path("/proc/gridcwl")))
    assert folder.state == "error"
    assert "--state-dir" in folder.remedy


def server_with_clock(offset: timedelta) -> HTTPServer:
    class Clock(BaseHTTPRequestHandler):
        def do_HEAD(self):
            self.send_response_only(200)
            self.send_header("Date", format_datetime(datetime.now(UTC) + offset, usegmt=True))
            self.end_headers()

        def log_message(self, *_args):
            """Nothing."""

    server = HTTPServer(("localhost", 0), Clock)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    return server


@pytest.mark.parametrize(
    ("offset", "state", "text"),
    [(0, "ok", "as the server's"), (60, "warning", "60 s behind"), (-600, "error", "600 s ahead of")],
)
def test_the_clock_is_compared_with_that_of_a_server(offset, state, text):
    server = server_with_clock(timedelta(seconds=offset))
    try:
        found = clock("Rucio", f"http://localhost:{server.server_port}")
    finally:
        server.shutdown()
        server.server_close()
    assert (found.check, found.state) == ("clock (Rucio)", state)
    assert abs(int(found.text.split()[0] if offset else 0) - abs(offset)) <= 2 or text in found.text


def test_the_exit_code_reports_whether_something_is_wrong(monkeypatch):
    fine = [HealthCheck("node", "ok", "node v20"), HealthCheck("DIRAC", "unused", "not installed")]
    broken = [*fine, HealthCheck("docker", "error", "no engine answers", "Start it.")]
    monkeypatch.setattr(health, "findings", lambda _config: iter(fine))
    result = gridcwl("doctor")
    assert (result.code, result.stdout.splitlines()[0]) == (0, "ok       node              node v20")
    monkeypatch.setattr(health, "findings", lambda _config: iter(broken))
    result = gridcwl("doctor")
    assert result.code == 1
    assert "error    docker            no engine answers. Start it." in result.stdout
    result = gridcwl("doctor", "--json")
    assert json.loads(result.stdout)["healthy"] is False
    assert json.loads(result.stdout)["checks"][2]["remedy"] == "Start it."
