"""The testbed's DIRAC keeps the contract that the fake keeps: the fake is honest."""

from __future__ import annotations

import pytest
from dirac_suite import DiracContract


class TestRealDirac(DiracContract):
    @pytest.fixture
    def clients(self, dirac_clients):
        return dirac_clients
