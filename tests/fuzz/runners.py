"""gridcwl and cwltool on the same document, in this process, without containers and without a network.

Both through their own command line's ``main``, so that what a user meets is what is compared. What either keeps for the
whole process, and the other would see, is given back: the JavaScript engine and the log's handlers.
"""

from __future__ import annotations

import io
import json
import logging
import os
import shutil
import sys
from collections.abc import Iterator
from contextlib import contextmanager, redirect_stderr
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cwltool.main
from cwl_utils import sandboxjs

import gridcwl.cli.main

_THEIR_NODE = sandboxjs.NodeJSEngine()
_STRANGE = ("Traceback (most recent call last)", "internal error", "gridcwl itself failed")


@dataclass(frozen=True, slots=True)
class Ended:
    """How a run ended.

    Attributes:
        code: the exit code.
        outputs: what was printed to stdout; None after a failure.
        said: what was printed to stderr.
        outdir: where the outputs were put.
    """

    code: int
    outputs: Any
    said: str
    outdir: Path

    @property
    def refused(self) -> bool:
        """It did not end well, whatever the reason."""
        return self.code != 0

    @property
    def crashed(self) -> bool:
        """It ended in a way that no user should see."""
        return any(text in self.said for text in _STRANGE)


@contextmanager
def written(document: Any, inputs: Any, files: dict[str, str], folder: Path) -> Iterator[None]:
    """A fresh folder with the document, its inputs and the files they speak of; the working directory inside."""
    before = Path.cwd()
    shutil.rmtree(folder, ignore_errors=True)
    (folder / "tmp").mkdir(parents=True)
    write_inputs(files, folder)
    (folder / "main.cwl").write_text(json.dumps(document, indent=1), "utf-8")
    (folder / "inputs.json").write_text(json.dumps(inputs, indent=1), "utf-8")
    os.chdir(folder)
    try:
        yield
    finally:
        os.chdir(before)


def write_inputs(files: dict[str, str], folder: Path) -> None:
    """The files of the input object; again for each runner, as a bare tool may write into one of them by a link."""
    for name, text in files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(text, "utf-8")


def by_cwltool(folder: Path) -> Ended:
    """Run ``main.cwl`` on ``inputs.json`` with cwltool."""
    sandboxjs.set_js_engine(_THEIR_NODE)
    logger = logging.getLogger("cwltool")
    logger.handlers[:], logger.filters[:] = [], []
    outdir = folder / "cwltool"
    out = io.StringIO()
    options = ["--no-container", "--relax-path-checks", "--disable-js-validation", "--disable-color"]
    places = [f"--outdir={outdir}", f"--tmpdir-prefix={folder}/tmp/t", f"--tmp-outdir-prefix={folder}/tmp/outdir-"]
    with (folder / "said").open("w+", encoding="utf-8", errors="replace") as text, redirect_stderr(text):
        # cwltool hands its stderr to the tools: it has to be a real file
        code = cwltool.main.main(
            [*options, *places, "main.cwl", "inputs.json"],
            stdout=out,
            stderr=text,
            logger_handler=logging.StreamHandler(text),
            custom_schema_callback=lambda: None,  # else it throws away all parsed schemas, gridcwl's too
        )
    told = (folder / "said").read_text("utf-8", "replace")
    return Ended(code, json.loads(out.getvalue()) if code == 0 else None, told, outdir)


def by_gridcwl(folder: Path) -> Ended:
    """Run ``main.cwl`` on ``inputs.json`` with gridcwl."""
    outdir = folder / "gridcwl"
    out, text = io.TextIOWrapper(io.BytesIO(), encoding="utf-8"), io.StringIO()
    places = [f"--outdir={outdir}", f"--state-dir={folder}/state", f"--tmpdir-prefix={folder}/tmp/g"]
    before, sys.stdout = sys.stdout, out
    try:
        with redirect_stderr(text):
            code = gridcwl.cli.main.main(["--no-container", *places, "main.cwl", "inputs.json"])
    finally:
        sys.stdout = before
    out.flush()
    printed = out.buffer.getvalue().decode("utf-8", "surrogateescape")  # type: ignore[attr-defined]
    return Ended(code, json.loads(printed) if code == 0 else None, text.getvalue(), outdir)
