"""The testbed's Rucio keeps the contract that the fake keeps: the fake is honest."""

from __future__ import annotations

import pytest
from rucio_suite import RucioContract


class TestRealRucio(RucioContract):
    @pytest.fixture
    def server(self, rucio):
        return rucio
