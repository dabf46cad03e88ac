"""Jobs and a place to run them, for the worker's tests."""

import json
import os
import threading
from importlib import resources
from pathlib import Path

import jsonschema

from gridcwl.model.codec import result_from_plain
from gridcwl.worker.bare_engine import BareEngine
from gridcwl.worker.control import Control
from gridcwl.worker.engine import Exit
from gridcwl.worker.job import run_job
from gridcwl.worker.options import WorkerOptions

SCHEMA = json.loads(resources.files("gridcwl.model").joinpath("result.schema.json").read_text())


def job(*command, **fields):
    """A job that runs a shell line (one word) or a command (several)."""
    words = ["sh", "-c", command[0]] if len(command) == 1 else list(command)
    return {"id": "job-1", "run": "run-1", "name": "step", "command": words, **fields}


def staged(target, source=None, *, kind="file", **fields):
    return {"target": target, "kind": kind, "sources": [] if source is None else [str(source)], **fields}


def literal(target, contents, **fields):
    return staged(target, kind="literal", contents=contents, **fields)


def held_to_schema(result):
    jsonschema.validate(json.loads(json.dumps(result)), SCHEMA)
    result_from_plain(result)
    return result


class Bench:
    """Runs jobs below a folder."""

    def __init__(self, folder):
        self.folder = folder
        self.workdir = folder / "work"
        self.out = self.workdir / "out"
        self.control = Control(grace_s=30)

    def run(self, described, *, engine=None, **options):
        engine = engine or BareEngine()
        result = run_job(described, str(self.workdir), engine, self.control, options=WorkerOptions(**options))
        return held_to_schema(result)

    def run_aside(self, described, engine=None):
        """Run in another thread; returns a function that waits for the result."""
        results = []
        thread = threading.Thread(target=lambda: results.append(self.run(described, engine=engine)))
        thread.start()

        def result():
            thread.join(60)
            assert results, "the job did not end"
            return results[0]

        return result

    def file(self, name, content="content\n"):
        path = self.folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content if isinstance(content, bytes) else content.encode())
        return path

    def fifo(self, name="fifo"):
        """A pipe by which a tool says that it has come so far: opening it waits for the other side."""
        path = self.folder / name
        os.mkfifo(path)
        return path


class PretendContainers:
    """An engine with containers whose tool is a function; it is given the call."""

    name = "pretend"
    containers = True

    def __init__(self, tool=lambda _call: None, code=0, out_of_memory=False):
        self.call = None
        self._tool = tool
        self._exit = Exit(code, out_of_memory=out_of_memory)

    def prepare(self, image):
        return image["id"]

    def digest(self, prepared):
        return f"{prepared}@sha256:1"

    def start(self, call):
        self.call = call
        for stream in (call.stdout, call.stderr):
            Path(stream).touch()
        self._tool(call)
        return self

    def wait(self):
        return self._exit

    def terminate(self):
        pass

    def kill(self):
        pass


def paths(result):
    return [entry["path"] for entry in result["files"]]


def entry(result, path):
    return next(entry for entry in result["files"] if entry["path"] == path)
