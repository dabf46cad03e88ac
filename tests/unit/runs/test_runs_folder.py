"""The folders of runs: which one is the last."""

from __future__ import annotations

import time
from pathlib import Path

from gridcwl.runs.record.folder import find, new_folder, new_run_id


def test_the_last_of_several_runs_that_started_in_one_second_is_found(tmp_path: Path) -> None:
    for _ in range(50):
        run = new_run_id()
        new_folder(tmp_path, run)
        time.sleep(0.001)  # ids tell 1/4096 s apart; no two clients start closer than that
        assert find(tmp_path, "last").folder.run == run
