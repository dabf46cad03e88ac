"""What the benchmarks write, and how two of their results are compared."""

from __future__ import annotations

import importlib.util
import json
import sys
from pathlib import Path

import pytest

BENCHMARKS = Path(__file__).parents[2] / "benchmarks"


def module(name: str):
    specification = importlib.util.spec_from_file_location(f"benchmark_{name}", BENCHMARKS / f"{name}.py")
    assert specification is not None
    assert specification.loader is not None
    made = importlib.util.module_from_spec(specification)
    sys.modules[specification.name] = made  # dataclasses look their module up
    specification.loader.exec_module(made)
    return made


def results(folder: Path, name: str, **rows) -> Path:
    path = folder / name
    path.write_text(json.dumps({"rows": rows}))
    return path


def test_a_row_of_a_table_is_in_the_file_as_soon_as_it_is_printed(tmp_path, monkeypatch):
    monkeypatch.setenv("GRIDCWL_BENCH_JSON", str(tmp_path / "made" / "start.json"))
    note = module("results").note

    note("one tool", wall_s=1.5)
    note("one tool", cpu_s=1.0)

    written = json.loads((tmp_path / "made" / "start.json").read_text())
    assert written["rows"] == {"one tool": {"wall_s": 1.5, "cpu_s": 1.0}}
    assert "cores" in written["machine"]


def test_nothing_is_written_unless_a_file_is_named(tmp_path, monkeypatch):
    monkeypatch.delenv("GRIDCWL_BENCH_JSON", raising=False)
    monkeypatch.chdir(tmp_path)

    module("results").note("one tool", wall_s=1.5)

    assert not list(tmp_path.iterdir())


def test_results_that_differ_by_more_than_the_noise_are_reported(tmp_path, capsys):
    old = results(tmp_path, "old.json", scatter={"wall_s": 10.0, "cpu_s": 5.0}, gone={"wall_s": 1.0})
    new = results(tmp_path, "new.json", scatter={"wall_s": 8.0, "cpu_s": 5.2}, added={"wall_s": 1.0})

    assert module("compare").compare_results(old, new, 0.1) == 0

    (line,) = capsys.readouterr().out.splitlines()
    assert line.split() == ["scatter", "wall_s", "10", "8", "0.80"]


@pytest.mark.parametrize(("pairs", "verdict"), [([0.7, 0.9], "quicker"), ([0.9, 1.1], "same"), ([1.05, 1.2], "slower")])
def test_a_change_is_one_that_every_pair_of_runs_shows(pairs, verdict):
    assert module("compare").verdict(pairs) == verdict
