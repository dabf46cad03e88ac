"""Runs through the console script, with tools that leave a mark when they start and when they end."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from gridcwl.runs.record.history import History

_PATIENCE_S = 120

SAY = """\
cwlVersion: v1.2
class: CommandLineTool
baseCommand: [sh, -c]
arguments:
  - |
    marks=$1 gate=$2 n=$3
    echo "start $n" >> "$marks"
    while [ ! -e "$gate/$n" ] && [ ! -e "$gate/all" ]; do sleep 0.01; done
    [ -e "$gate/fail-$n" ] && exit 3
    cat "$4" && echo "$n" && echo "said $n" >&2
    echo "end $n" >> "$marks"
  - say
inputs:
  marks: {type: string, inputBinding: {position: 1}}
  gate: {type: string, inputBinding: {position: 2}}
  n: {type: string, inputBinding: {position: 3}}
  word: {type: File, inputBinding: {position: 4}}
outputs: {said: stdout}
stdout: said.txt
"""

WORKFLOW = """\
cwlVersion: v1.2
class: Workflow
requirements: {ScatterFeatureRequirement: {}}
inputs: {marks: string, gate: string, n: "string[]", word: "File[]"}
steps:
  say:
    run: say.cwl
    scatter: [n, word]
    scatterMethod: dotproduct
    in: {marks: marks, gate: gate, n: n, word: word}
    out: [said]
  join:
    run: join.cwl
    in: {marks: marks, said: say/said}
    out: [all]
outputs:
  all: {type: File, outputSource: join/all}
  said: {type: "File[]", outputSource: say/said}
"""

JOIN = """\
cwlVersion: v1.2
class: CommandLineTool
baseCommand: [sh, -c]
arguments: ['echo "start join" >> "$0"; cat "$@"; echo "end join" >> "$0"']
inputs:
  marks: {type: string, inputBinding: {position: 1}}
  said: {type: "File[]", inputBinding: {position: 2}}
outputs: {all: stdout}
stdout: all.txt
"""


@dataclass(frozen=True)
class Ended:
    """How a command ended."""

    code: int
    stdout: str
    stderr: str

    @property
    def outputs(self) -> Any:
        """The output object."""
        assert self.stdout, self.stderr
        return json.loads(self.stdout)


@dataclass
class Desk:
    """A folder with a scattered workflow. Shard ``n`` ends when ``open`` was called for it."""

    folder: Path
    shards: list[str]
    environment: dict[str, str] = field(default_factory=dict)
    clients: list[Client] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.gate.mkdir(parents=True)
        (self.folder / "tmp").mkdir()
        (self.folder / "wf.cwl").write_text(WORKFLOW)
        (self.folder / "say.cwl").write_text(SAY)
        (self.folder / "join.cwl").write_text(JOIN)
        for shard in self.shards:
            self.write(shard, f"word {shard}\n")
        self.write_inputs()
        self._share_schemas()
        self.environment = {
            **{name: value for name, value in os.environ.items() if not name.startswith("GRIDCWL_")},
            "GRIDCWL_STATE_DIR": str(self.folder / "state"),
            "XDG_CACHE_HOME": str(self.folder / "cache"),
            "XDG_CONFIG_HOME": str(self.folder / "config"),
            "TMPDIR": str(self.folder / "tmp"),
        }

    def _share_schemas(self) -> None:
        """All desks of a session share CWL's parsed schemas; parsing them is the most of a client's start."""
        shared = Path(os.environ["GRIDCWL_STATE_DIR"], "schemas")
        shared.mkdir(exist_ok=True)
        (self.folder / "cache" / "gridcwl").mkdir(parents=True)
        (self.folder / "cache" / "gridcwl" / "schemas").symlink_to(shared)

    @property
    def gate(self) -> Path:
        return self.folder / "gate"

    @property
    def state(self) -> Path:
        return self.folder / "state"

    def write(self, shard: str, text: str) -> None:
        """The file that a shard repeats."""
        (self.folder / f"{shard}.word").write_text(text)

    def write_inputs(self) -> None:
        words = [{"class": "File", "path": f"{shard}.word"} for shard in self.shards]
        values = {"marks": str(self.marks), "gate": str(self.gate), "n": self.shards, "word": words}
        (self.folder / "in.json").write_text(json.dumps(values))

    @property
    def marks(self) -> Path:
        return self.folder / "marks"

    def marked(self) -> list[str]:
        """What the tools have left: ``start 3``, ``end 3`` ..."""
        return self.marks.read_text().splitlines() if self.marks.exists() else []

    def starts(self) -> Counter[str]:
        """How often each shard was started."""
        return Counter(mark.removeprefix("start ") for mark in self.marked() if mark.startswith("start "))

    def ended(self) -> set[str]:
        """The shards that ran to their end."""
        return {mark.removeprefix("end ") for mark in self.marked() if mark.startswith("end ")}

    def open(self, *shards: str) -> None:
        """Let these shards end, or ``all``; ``fail-3`` lets shard 3 fail."""
        for shard in shards:
            (self.gate / shard).touch()

    def close(self, *shards: str) -> None:
        for shard in shards:
            (self.gate / shard).unlink()

    def command(self, *arguments: str) -> list[str]:
        return [sys.executable, "-m", "gridcwl", *arguments]

    def gridcwl(self, *arguments: str, stdin: str = "") -> Ended:
        """Run a command to its end."""
        ended = subprocess.run(
            self.command(*arguments), cwd=self.folder, env=self.environment, capture_output=True, text=True,
            input=stdin, timeout=_PATIENCE_S, check=False,
        )  # fmt: skip
        return Ended(ended.returncode, ended.stdout, ended.stderr)

    def run(self, *options: str) -> Ended:
        """Run the workflow to its end."""
        return self.gridcwl(*self.words(*options))

    def words(self, *options: str) -> list[str]:
        return ["--quiet", "--no-container", "--outdir", "out", *options, "wf.cwl", "in.json"]

    def start(self, *arguments: str) -> Client:
        """Start a command, and let it run."""
        process = subprocess.Popen(
            self.command(*arguments), cwd=self.folder, env=self.environment, text=True,
            stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
        )  # fmt: skip
        client = Client(self, process)
        self.clients.append(client)
        return client

    def leave(self) -> None:
        """Leave nothing running, whatever the test came to."""
        for client in self.clients:
            if client.process.poll() is None:
                client.kill()

    def history(self) -> History:
        """The journal of the only run."""
        (journal,) = self.state.glob("runs/*/journal.db")
        return History(journal)

    def recorded(self) -> set[str]:
        """The shards whose success the journal knows."""
        if not list(self.state.glob("runs/*/journal.db")):
            return set()
        with closing(self.history()) as history:
            names = [row.name for row in history.jobs(where="outcome = 'success'")]
        return {self.shards[int(name[4:-1])] if name.startswith("say[") else name for name in names}

    def begun(self) -> bool:
        """Whether the run can be resumed."""
        for journal in self.state.glob("runs/*/journal.db"):
            with closing(History(journal)) as history:
                return history.meta("options") is not None
        return False

    def expected_output(self) -> str:
        """What the workflow has to write."""
        return "".join((self.folder / f"{shard}.word").read_text() + f"{shard}\n" for shard in self.shards)


@dataclass
class Client:
    """A command under way."""

    desk: Desk
    process: subprocess.Popen[str]

    def until(self, condition: Callable[[], bool]) -> None:
        """Wait until something is so; an error if the command ends before, or it takes for ever."""
        patience = time.monotonic() + _PATIENCE_S
        while not condition():
            if self.process.poll() is not None and not condition():
                raise AssertionError(f"it ended with {self.process.returncode}: {self.process.communicate()[1]}")
            assert time.monotonic() < patience, "it never came to that"
            time.sleep(0.002)

    def kill(self) -> None:
        """kill -9, and nobody else."""
        self.process.send_signal(signal.SIGKILL)
        self.process.communicate()

    def end(self) -> Ended:
        """Wait for its end."""
        stdout, stderr = self.process.communicate(timeout=_PATIENCE_S)
        return Ended(self.process.returncode, stdout, stderr)


@dataclass(frozen=True)
class Process:
    """A process as it was when it was looked at: it may have ended since."""

    pid: int
    folder: Path
    command: bytes


def running_below(folder: Path) -> Iterator[Process]:
    """Processes that have a folder below this one for their working directory."""
    for process in Path("/proc").glob("[0-9]*"):
        try:
            working = (process / "cwd").readlink()
            if working.is_relative_to(folder):
                yield Process(int(process.name), working, (process / "cmdline").read_bytes())
        except OSError:
            continue
