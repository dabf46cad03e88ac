"""Builds the worker's zipapp into the wheel, so that an installed gridcwl has the very file that goes to the grid.

The workflows of ``cwl/`` go into it, too, as the catalogue that a service offers by default.
"""

import importlib.util
import tempfile
from pathlib import Path
from typing import Any

from hatchling.builders.hooks.plugin.interface import BuildHookInterface

WORKER = Path("runner/gridcwl/worker")
WORKFLOWS = Path("cwl")
OFFERED = ("workflows/*.cwl", "tools/*.cwl", "config/*")
"""What a service needs of them."""


class WorkerZipapp(BuildHookInterface):  # type: ignore[type-arg]
    """Adds ``gridcwl/worker/gridcwl-worker.pyz`` and ``gridcwl/own_workflows/`` to the wheel."""

    PLUGIN_NAME = "custom"

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:
        """Build it, but not for an editable install: there it would grow stale."""
        if self.target_name != "wheel" or version == "editable":
            return
        # By its path: building must not need what gridcwl itself needs.
        spec = importlib.util.spec_from_file_location("worker_zipapp", Path(self.root) / WORKER / "zipapp.py")
        if spec is None or spec.loader is None:
            raise FileNotFoundError(WORKER / "zipapp.py")
        zipapp = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(zipapp)
        self._folder = tempfile.TemporaryDirectory(prefix="gridcwl-build-")
        target = Path(self._folder.name) / zipapp.NAME
        zipapp.build(target)
        build_data["force_include"][str(target)] = f"gridcwl/worker/{zipapp.NAME}"
        root = Path(self.root) / WORKFLOWS
        for path in sorted(path for pattern in OFFERED for path in root.glob(pattern) if path.is_file()):
            build_data["force_include"][str(path)] = f"gridcwl/own_workflows/{path.relative_to(root)}"

    def finalize(self, version: str, build_data: dict[str, Any], artifact_path: str) -> None:  # noqa: ARG002
        """Clean up."""
        if hasattr(self, "_folder"):
            self._folder.cleanup()
