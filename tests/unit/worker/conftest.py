"""A bench that runs jobs in a temporary place, and holds every result to its schema."""

import pytest
from worker_builders import Bench


@pytest.fixture
def bench(tmp_path):
    return Bench(tmp_path)
