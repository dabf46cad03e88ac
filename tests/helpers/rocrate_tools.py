"""roc-validator and runcrate, which check RO-Crates, in an environment of their own; and the entities of a crate."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

PROFILES = ("ro-crate-1.1", "process-run-crate-0.5", "workflow-run-crate-0.5", "provenance-run-crate-0.5")


@dataclass(frozen=True)
class Tools:
    """roc-validator and runcrate."""

    folder: Path

    def validate(self, crate: Path, *profiles: str) -> list[str]:
        """What the validator finds that must not be, with these profiles or with all."""
        script = Path(__file__).with_name("rocrate_validate.py")
        words = [self.folder / "bin" / "python", script, crate, self.folder / "contexts", *(profiles or PROFILES)]
        ended = subprocess.run(words, capture_output=True, text=True, check=False, timeout=250)
        if "cannot be reached" in ended.stderr:
            pytest.skip("the contexts of RO-Crate are neither here (ROCRATE_CONTEXTS) nor on the web")
        assert ended.returncode == 0, ended.stderr
        found: list[str] = json.loads(ended.stdout)
        return found

    def runcrate(self, *words: str | Path, cwd: Path | None = None) -> str:
        """Run ``runcrate``; returns what it prints."""
        path = f"{Path(sys.executable).parent}:{os.environ['PATH']}"
        ended = subprocess.run(
            [self.folder / "bin" / "runcrate", *words], cwd=cwd, env={**os.environ, "PATH": path},
            capture_output=True, text=True, check=False, timeout=250,
        )  # fmt: skip
        assert ended.returncode == 0, ended.stderr + ended.stdout
        return ended.stdout


def graph_of(crate: Path) -> dict[str, dict[str, Any]]:
    """The entities of a crate by their ids."""
    read = json.loads((crate / "ro-crate-metadata.json").read_text())["@graph"]
    found = {entity["@id"]: entity for entity in read}
    assert len(found) == len(read), "an entity is there twice"
    return found
