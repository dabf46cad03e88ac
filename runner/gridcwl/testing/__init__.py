"""Contract suites for authors of backends and stores. They need pytest and nothing else.

    from gridcwl.testing.backends import BackendSuite, Place
    from gridcwl.testing.stores import StoreContract

Derive a test class from a suite and give it its fixtures; pytest collects the suite's tests.
"""

from __future__ import annotations

import pytest

pytest.register_assert_rewrite("gridcwl.testing.backends", "gridcwl.testing.stores")
