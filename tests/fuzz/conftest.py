"""Every job of a generated document is resolved both by its tool's template and by cwltool."""

from __future__ import annotations

import pytest
from comparing_resolver import ComparingResolver


@pytest.fixture(autouse=True)
def both_ways(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("gridcwl.runs.run.JobResolver", ComparingResolver)
