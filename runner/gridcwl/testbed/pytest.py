"""A pytest plugin: the testbed's servers as fixtures, shared by all of a session's processes, with switches for faults.

    pytest_plugins = ["gridcwl.testbed.pytest"]        # in conftest.py

    def test_alice_is_known(rucio): ...
    def test_it_waits_for_rucio(rucio, faults): faults.pause("rucio") ...

``GRIDCWL_TESTBED_DIR`` names a testbed that is there already: it is used, repaired if need be, and left running.
Without it the session has a testbed of its own, which goes with its last process. Tests with ``faults`` have the
testbed for themselves: nobody else's test runs on it meanwhile.
"""

from __future__ import annotations

import fcntl
import json
import os
import shutil
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from gridcwl.testbed.dirac.clients import DiracClients
    from gridcwl.testbed.dirac.diracx import DiracXService
    from gridcwl.testbed.dirac.service import DiracService
    from gridcwl.testbed.faults import Faults
    from gridcwl.testbed.rucio.service import RucioService
    from gridcwl.testbed.testbed import Testbed

# fixture -> the marker that its tests get, so that -m "not rucio" leaves them out
_MARKERS = {"rucio": "rucio", "dirac": "dirac", "diracx": "dirac"}
_FIXTURES = {"testbed", "rucio", "dirac", "dirac_clients", "diracx", "faults"}
"""A test with one of these has its turn."""


def pytest_configure(config: pytest.Config) -> None:
    """Declare the markers."""
    config.addinivalue_line("markers", "rucio: needs the testbed's Rucio")
    config.addinivalue_line("markers", "dirac: needs the testbed's DIRAC")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark what needs a server."""
    for item in items:
        for fixture, marker in _MARKERS.items():
            if fixture in getattr(item, "fixturenames", ()):
                item.add_marker(marker)


def pytest_unconfigure(config: pytest.Config) -> None:
    """Where nothing was brought up, the folder of the locks is all there is: it goes with the session."""
    root = _root()
    if "GRIDCWL_TESTBED_DIR" in os.environ or hasattr(config, "workerinput") or not root.is_dir():
        return
    if {path.name for path in root.iterdir()} <= {"locks"}:
        shutil.rmtree(root, ignore_errors=True)


@pytest.fixture(scope="session")
def testbed() -> Iterator[Testbed]:
    """The session's testbed; nothing of it is up before ``rucio`` or ``dirac`` ask for it."""
    from gridcwl.testbed.service import InstallOptions
    from gridcwl.testbed.testbed import Testbed

    if "GRIDCWL_TESTBED_DIR" in os.environ:
        yield Testbed(_root())
        return
    # tests have many short jobs: some go to real pilots, most to the light one
    testbed = Testbed(_root(), InstallOptions(light_pilots=6))
    with _registered(testbed):
        yield testbed


@pytest.fixture(scope="session")
def rucio(testbed: Testbed) -> RucioService:
    """Rucio, with a token issuer and an XRootD beside it."""
    from gridcwl.testbed.rucio.service import RucioService

    testbed.ensure(("oidc", "xrootd", "rucio"), _say)
    service = testbed.service("rucio")
    assert isinstance(service, RucioService)
    return service


@pytest.fixture
def log_in(rucio: RucioService, monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[..., Any]]:
    """``log_in("alice")`` gives Rucio's own client as her; with ``configuration`` by another rucio.cfg than usual."""
    from rucio.client import Client
    from rucio.common.config import clean_cached_config

    def log_in(account: str, configuration: Path | None = None) -> Any:
        for name, value in rucio.clients.exports(account).items():
            monkeypatch.setenv(name, value)
        if configuration is not None:
            monkeypatch.setenv("RUCIO_CONFIG", str(configuration))
        clean_cached_config()
        return Client()

    yield log_in
    clean_cached_config()


@pytest.fixture(scope="session")
def dirac(testbed: Testbed) -> DiracService:
    """DIRAC, with pilots at its sites."""
    from gridcwl.testbed.dirac.service import DiracService

    testbed.ensure(("dirac",), _say)
    service = testbed.service("dirac")
    assert isinstance(service, DiracService)
    return service


@pytest.fixture(scope="session")
def dirac_clients(dirac: DiracService) -> Iterator[DiracClients]:
    """DIRAC's own clients in this process, as the testbed's user."""
    from gridcwl.testbed.dirac.clients import DiracClients

    with pytest.MonkeyPatch.context() as patch:
        for name, value in dirac.exports().items():
            if not name.startswith("GRIDCWL_"):  # those would reach all other tests of the session
                patch.setenv(name, value)
        yield DiracClients(dirac.exports())


@pytest.fixture(scope="session")
def diracx(testbed: Testbed) -> DiracXService:
    """DiracX in front of DIRAC. Outputs of jobs go to DIRAC's own sandbox store, as other tests want them."""
    from gridcwl.testbed.dirac.diracx import DiracXService

    testbed.ensure(("dirac", "diracx"), _say)
    service = testbed.service("diracx")
    assert isinstance(service, DiracXService)
    return service


@pytest.fixture
def faults(testbed: Testbed) -> Iterator[Faults]:
    """Switches for what goes wrong; all is well again after the test."""
    from gridcwl.testbed.faults import Faults

    switches = Faults(testbed)
    try:
        yield switches
    finally:
        switches.undo()


@pytest.hookimpl(wrapper=True)
def pytest_runtest_protocol(item: pytest.Item) -> Iterator[None]:
    """Hold the testbed: together with other tests, or alone when it is to be hurt."""
    wanted = _FIXTURES.intersection(getattr(item, "fixturenames", ()))
    if not wanted:
        return (yield)
    with _turn(alone="faults" in wanted):
        return (yield)


@contextmanager
def _turn(*, alone: bool) -> Iterator[None]:
    """A lock that many share, or one has.

    Whoever wants it for himself closes the door first: otherwise those who share it might never all be out.
    """
    from gridcwl.testbed.place import InstallFolder

    locks = InstallFolder(_root()).folder("locks")
    door, room = (_opened(locks / each) for each in ("tests-door", "tests-room"))
    try:
        fcntl.flock(door, fcntl.LOCK_EX)
        fcntl.flock(room, fcntl.LOCK_EX if alone else fcntl.LOCK_SH)
        if not alone:
            fcntl.flock(door, fcntl.LOCK_UN)
        yield
    finally:
        os.close(room)
        os.close(door)


def _opened(path: Path) -> int:
    return os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)


def _root() -> Path:
    """The testbed's folder, which all processes of this session agree on.

    It is not in pytest's own: the servers' users could not go there.
    """
    if given := os.environ.get("GRIDCWL_TESTBED_DIR"):
        return Path(given)
    session = os.environ.get("PYTEST_XDIST_TESTRUNUID", f"{os.getpid()}")
    return Path(tempfile.gettempdir()) / f"gridcwl-testbed-{os.getuid()}-{session}"


@contextmanager
def _registered(testbed: Testbed) -> Iterator[None]:
    """Be one of those who use the testbed; the last one takes it down."""
    users = testbed.place.folder() / "users.json"
    with testbed.place.lock("users"):
        _write(users, [*_living(users), os.getpid()])
    try:
        yield
    finally:
        with testbed.place.lock("users"):
            left = [pid for pid in _living(users) if pid != os.getpid()]
            _write(users, left)
            if not left:
                testbed.down(_say, wipe=True)


def _living(users: Path) -> list[int]:
    known = json.loads(users.read_text()) if users.exists() else []
    return [pid for pid in known if Path(f"/proc/{pid}").exists()]


def _write(users: Path, pids: list[int]) -> None:
    users.write_text(json.dumps(pids))


def _say(text: str) -> None:
    """Into the test's captured output, with the time: it tells what the first test has waited for."""
    print(time.strftime("%H:%M:%S"), text)
