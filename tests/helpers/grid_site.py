"""A folder from which runs are sent to the testbed's DIRAC and Rucio, and what DIRAC says of them."""

from __future__ import annotations

import subprocess
import sys
import zlib
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from gridcwl.worker.naming import place_of

SCOPE = "user.runner"

SCATTER = """
cwlVersion: v1.2
class: Workflow
requirements: {ScatterFeatureRequirement: {}}
inputs: {words: "string[]", beginning: File}
steps:
  say:
    scatter: word
    in: {word: words, beginning: beginning}
    out: [said]
    run:
      class: CommandLineTool
      baseCommand: [sh, -c, 'cat "$1"; echo "$0"; echo loudly >&2; echo "HOME=$HOME" >&2']
      inputs: {word: {type: string, inputBinding: {position: 1}}, beginning: {type: File, inputBinding: {position: 2}}}
      outputs: {said: stdout}
      stdout: said.txt
  gather:
    in: {said: say/said}
    out: [all]
    run:
      class: CommandLineTool
      baseCommand: cat
      inputs: {said: {type: "File[]", inputBinding: {}}}
      outputs: {all: stdout}
      stdout: all.txt
outputs: {all: {type: File, outputSource: gather/all}}
"""
"""Says three words, each behind the beginning of a file, loudly on stderr; and joins them."""

# says what the client itself read and wrote when it has ended
COUNTED = """
import sys
from gridcwl.cli.main import main
code = main(sys.argv[1:])
counts = dict(line.split(": ") for line in open("/proc/self/io").read().splitlines())
print("client bytes", int(counts["rchar"]) + int(counts["wchar"]), file=sys.stderr)
sys.exit(code)
"""


@dataclass
class Site:
    """A folder from which runs are sent out."""

    folder: Path
    environment: dict[str, str]

    def gridcwl(self, *words: str, timeout: float = 400, counted: bool = False) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, "-c", COUNTED] if counted else [sys.executable, "-m", "gridcwl"]
        return subprocess.run(
            [*command, *words], cwd=self.folder, env=self.environment, text=True, capture_output=True,
            timeout=timeout, check=False,
        )  # fmt: skip

    def write(self, name: str, text: str) -> str:
        (self.folder / name).write_text(text)
        return name

    @property
    def run(self) -> str:
        """The latest run."""
        return sorted(path.name for path in (self.folder / "state" / "runs").iterdir())[-1]


def jobs_at_dirac(dirac_clients: Any, run: str) -> dict[int, dict[str, str]]:
    """What DIRAC itself says of a run's jobs."""
    monitoring = dirac_clients.monitoring()
    numbers = monitoring.getJobs({"JobGroup": run})["Value"]
    found: dict[int, dict[str, str]] = monitoring.getJobsSummary([int(number) for number in numbers])["Value"]
    return {int(number): about for number, about in found.items()}


def put_at_lyon(client: Any, name: str, data: bytes) -> str:
    """A file in Rucio; returns what it is called."""
    place = Path(client.get_rse("LYON-DISK")["protocols"][0]["prefix"], place_of(SCOPE, name, "hash"))
    place.parent.mkdir(parents=True, exist_ok=True)
    place.write_bytes(data)
    about = {"scope": SCOPE, "name": name, "bytes": len(data), "adler32": f"{zlib.adler32(data):08x}"}
    client.add_replicas("LYON-DISK", [about])
    return name
