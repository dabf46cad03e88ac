"""A run that is cancelled while its outputs are published: nothing of them is left, or all of it."""

from __future__ import annotations

import asyncio
import threading
from pathlib import Path
from typing import Any

import pytest

from gridcwl.model import RunId
from gridcwl.runs.outdir import OutputFolder
from gridcwl.runs.outputs import publish_in_thread
from gridcwl.runs.publish import publish


@pytest.fixture
def folder(tmp_path: Path):
    made = OutputFolder(tmp_path / "outputs", RunId("r1"), "file:///w.cwl", tmp_path / "state")
    yield made
    made.close()


def outputs(tmp_path: Path) -> dict[str, Any]:
    (tmp_path / "work").mkdir()
    (tmp_path / "work" / "a.txt").write_text("a")
    return {"a": {"class": "File", "location": (tmp_path / "work" / "a.txt").as_uri(), "basename": "a.txt"}}


async def cancelled_while(folder: OutputFolder, put: Any, value: Any, begun: threading.Event) -> Any:
    task = asyncio.create_task(publish_in_thread(folder, put, value))
    await asyncio.to_thread(begun.wait)
    task.cancel()
    return await task


def test_what_was_begun_is_taken_back(folder: OutputFolder, tmp_path: Path):
    begun = threading.Event()

    def put(value: Any) -> Any:
        begun.set()
        folder.stop.wait()
        return publish(value, folder.path, tmp_path / "work", "r1", folder=folder)

    with pytest.raises(asyncio.CancelledError):
        asyncio.run(cancelled_while(folder, put, outputs(tmp_path), begun))
    assert not folder.path.exists()
    assert (tmp_path / "work" / "a.txt").is_file()


def test_what_was_complete_before_the_cancellation_came_stays_and_is_no_cancellation(
    folder: OutputFolder, tmp_path: Path
):
    begun = threading.Event()

    def put(value: Any) -> Any:
        published = publish(value, folder.path, tmp_path / "work", "r1", folder=folder)
        begun.set()
        folder.stop.wait()
        return published

    published = asyncio.run(cancelled_while(folder, put, outputs(tmp_path), begun))
    assert Path(published["a"]["path"]).read_text() == "a"
