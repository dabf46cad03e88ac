"""The notebooks of the documentation run from top to bottom, in a kernel as JupyterLab starts it."""

from __future__ import annotations

import os
import shutil
from pathlib import Path
from typing import Any

import nbformat
import pytest
from nbclient import NotebookClient

ROOT = Path(__file__).parents[2]
NOTEBOOKS = sorted((ROOT / "docs" / "notebooks").glob("*.ipynb"))
PATIENCE_S = 250


def test_there_are_three_and_none_is_kept_with_its_outputs():
    assert [path.stem for path in NOTEBOOKS] == ["first-run", "irf-on-the-grid", "parameter-study"]
    for path in NOTEBOOKS:
        cells = nbformat.read(path, as_version=4).cells
        assert not any(cell.get("outputs") or cell.get("execution_count") for cell in cells), path.name


def executed(path: Path, folder: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    """The notebook with its outputs."""
    for name in ("STATE", "CONFIG", "CACHE"):
        monkeypatch.setenv(f"XDG_{name}_HOME", str(folder / name.lower()))
    monkeypatch.setenv("IPYTHONDIR", str(folder / "ipython"))
    monkeypatch.setenv("JUPYTER_RUNTIME_DIR", str(folder / "runtime"))
    if not os.environ.get("GRIDCWL_NOTEBOOK_GRID"):
        monkeypatch.setenv("GRIDCWL_ENGINE", "none")
    work = folder / "work"
    work.mkdir()
    notebook = nbformat.read(shutil.copy(path, work), as_version=4)
    NotebookClient(notebook, timeout=PATIENCE_S, resources={"metadata": {"path": str(work)}}).execute()
    return notebook


@pytest.mark.parametrize("path", NOTEBOOKS, ids=[path.stem for path in NOTEBOOKS])
def test_a_notebook_runs_and_shows_runs_that_have_ended_well(
    path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    notebook = executed(path, tmp_path, monkeypatch)
    html = [
        str(output.get("data", {}).get("text/html", ""))
        for cell in notebook.cells
        if cell.cell_type == "code"
        for output in cell.outputs
    ]
    runs = [text for text in html if 'class="gridcwl-run"' in text]
    assert runs
    assert all('class="badge success"' in text for text in runs)  # also where a later cell waited for it
    assert any('class="gridcwl-files"' in text for text in html)
