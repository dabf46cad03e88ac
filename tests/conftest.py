"""For all tests: runs are recorded in a place of their own, not among the user's."""

from __future__ import annotations

import logging
import os
import tempfile
from collections.abc import Iterator

import pytest

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
    """The command line, run in this process by an earlier test, may have made gridcwl quiet."""
    for name in ("gridcwl", "cwltool"):
        logging.getLogger(name).setLevel(logging.NOTSET)


collect_ignore = ["plugin"]  # a distribution of its own, with tests of its own: see packaging/test_plugin.py
