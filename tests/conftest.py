"""For all tests: runs are recorded in a place of their own, not among the user's."""

from __future__ import annotations

import logging
import os
import tempfile
from collections.abc import Iterator

import pytest
from hypothesis import HealthCheck, settings

# Nothing depends on how fast the machine is, and what passed passes again: other examples come by the make targets.
settings.register_profile("tests", deadline=None, derandomize=True, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("tests")

pytest_plugins = ["gridcwl.testbed.pytest", "postgresql_server"]
pytest.register_assert_rewrite("dirac_suite", "engine_suite", "journal_suite")  # suites show what they found


@pytest.fixture(scope="session", autouse=True)
def own_state_folder() -> Iterator[None]:
    """What tests run does not show in ``gridcwl runs``, and goes when they end; set for what they start, too."""
    if "GRIDCWL_STATE_DIR" in os.environ:
        yield
        return
    with tempfile.TemporaryDirectory(prefix="gridcwl-test-state-", ignore_cleanup_errors=True) as folder:
        os.environ["GRIDCWL_STATE_DIR"] = folder
        yield
        del os.environ["GRIDCWL_STATE_DIR"]


@pytest.fixture(autouse=True)
def own_log_level() -> None:
    """The command line, run in this process by an earlier test, may have made gridcwl quiet, or print all logs."""
    root = logging.getLogger()
    root.handlers[:] = [one for one in root.handlers if not type(one).__module__.startswith("gridcwl.")]
    for name in ("gridcwl", "cwltool", "salad", "cwl_utils", "urllib3"):
        logging.getLogger(name).setLevel(logging.NOTSET)


_TESTBED = {"testbed", "rucio", "dirac", "diracx", "dirac_clients", "faults"}
_LONG = ("science", "conformance", "contract", "fuzz", "faults", "service", "provenance", "hostile")
"""Folders of tests that start containers, servers and programs."""


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Where two processes share the tests: an order in which neither waits for the other.

    Tests of the testbed wait for servers and for their turn, and fill the first half; long ones on this machine begin
    the second half, so that they run meanwhile. Both halves end with short ones, which whoever is ready earlier takes
    over. Tests of a module stay together and in their order.
    """
    if not hasattr(config, "workerinput"):
        return

    def rank(item: pytest.Item) -> int:
        if _TESTBED.intersection(getattr(item, "fixturenames", ())):
            return 0
        return 1 if item.path.relative_to(config.rootpath).parts[1] in _LONG else 2

    testbed, long, short = ([item for item in items if rank(item) == number] for number in range(3))
    first = max(0, len(items) // 2 - len(testbed))
    items[:] = [*testbed, *short[:first], *long, *short[first:]]


collect_ignore = ["plugin"]  # a distribution of its own, with tests of its own: see packaging/test_plugin.py
