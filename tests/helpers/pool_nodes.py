"""A stand-in for DIRAC that starts each job of a pool at once, as a process in a folder of its own."""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
import subprocess
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any


class NodesHere:
    """The few methods of ``gridcwl.backends.dirac.server.Server`` that a pool calls."""

    def __init__(self, folder: Path, site: str = "LCG.Here.org") -> None:
        self.folder, self._site = folder, site
        self.descriptions: list[str] = []
        self.settings: dict[str, Any] = {}
        """Of nodes that are started from now on, in addition to those of their sandbox."""
        self._processes: dict[int, subprocess.Popen[bytes]] = {}

    def put_sandbox(self, files: Sequence[Path]) -> str:
        sandbox = self.folder / f"sandbox-{len(list(self.folder.glob('sandbox-*')))}"
        sandbox.mkdir(parents=True)
        for file in files:
            shutil.copy2(file, sandbox)
        return f"SB:{sandbox}"

    def submit(self, jdl: str) -> list[int]:
        self.descriptions.append(jdl)
        (sandbox,) = re.findall(r"SB:([^\"]+)", jdl)
        (count,) = re.findall(r"Parameters = (\d+)", jdl)
        return [self._start(Path(sandbox)) for _ in range(int(count))]

    def confirm(self, jobs: Sequence[int]) -> None:
        pass

    def kill(self, jobs: Iterable[int]) -> None:
        for job in jobs:
            process = self._processes.pop(job, None)
            if process is not None:
                process.send_signal(signal.SIGTERM)
                process.wait()

    def kill_node(self, number: int) -> None:
        """Kill the process of a node, as a machine's administrator would; what started it is left."""
        children = Path(f"/proc/{self._processes[number].pid}/task/{self._processes[number].pid}/children").read_text()
        os.kill(int(children.split()[0]), signal.SIGKILL)
        self._processes.pop(number).wait()

    def signal(self, number: int, what: int) -> None:
        """Send a signal to a node as a batch system does: to what it has started."""
        self._processes[number].send_signal(what)

    def node_of(self, job: str) -> int:
        """The number of the node that runs a job, or has run it last."""
        places = sorted(self.folder.glob(f"node-*/jobs/{job}-*/gridcwl-0"), key=lambda place: place.stat().st_mtime)
        return int(places[-1].relative_to(self.folder).parts[0].removeprefix("node-"))

    def wait(self) -> None:
        """Until all nodes have ended by themselves."""
        for process in self._processes.values():
            process.wait(60)

    def _start(self, sandbox: Path) -> int:
        number = len(list(self.folder.glob("node-*"))) + 1
        place = self.folder / f"node-{number}"
        shutil.copytree(sandbox, place)
        settings = place / "pool-node.json"
        if settings.exists():  # there are other nodes
            settings.write_text(json.dumps({**json.loads(settings.read_text()), **self.settings}))
        environment = {"PATH": os.environ["PATH"], "DIRACSITE": self._site, "JOBID": str(number)}
        with (place / "std.out").open("wb") as log:
            self._processes[number] = subprocess.Popen(
                ["/bin/sh", "gridcwl-start.sh", str(number)], cwd=place, env=environment, stdout=log, stderr=log
            )
        return number
