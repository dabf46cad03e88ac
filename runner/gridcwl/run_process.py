"""A process of its own for a run: it survives the program or the notebook that began the run, and its interruptions.

``begin`` starts one and returns when the run has been prepared; errors of the document and its inputs are raised there.
``python -m gridcwl.run_process`` is that process: it reads what to run as JSON, answers with one line of JSON, and then
works on the run until that has ended. What it prints goes to ``driver.log`` in the run's folder.
"""

from __future__ import annotations

import asyncio
import json
import os
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from gridcwl import errors
from gridcwl.api import Client, Inputs
from gridcwl.client_runs import Run
from gridcwl.errors import ConfigError, GridCWLError
from gridcwl.runs.record.folder import RunFolder
from gridcwl.values import to_cwl

_LOG = "driver.log"
_COMMAND = (sys.executable, "-m", "gridcwl.run_process")


def submit(document: str | Path, inputs: Inputs, settings: Mapping[str, Any]) -> RunFolder:
    """Begin a run in a process of its own; see ``Client.submit``."""
    given = to_cwl(inputs, Path.cwd()) if isinstance(inputs, Mapping) else None if inputs is None else str(inputs)
    return _begun({"document": str(document), "inputs": given, "settings": _plain(settings)})


def resume(run: str, settings: Mapping[str, Any], changes: Mapping[str, Any]) -> RunFolder:
    """Resume a run in a process of its own; see ``Client.resume``."""
    return _begun({"resume": run, "settings": _plain(settings), "changes": _plain(changes)})


def _plain(settings: Mapping[str, Any]) -> dict[str, Any]:
    for name, value in settings.items():
        try:
            json.dumps(value, default=os.fspath)
        except TypeError:
            raise ConfigError(
                f"{name} is {value!r}, which only a run of this process takes", remedy="Give detach=False."
            ) from None
    return dict(settings)


def _begun(request: Mapping[str, Any]) -> RunFolder:
    process = subprocess.Popen(_COMMAND, stdin=subprocess.PIPE, stdout=subprocess.PIPE, start_new_session=True)
    assert process.stdin is not None
    assert process.stdout is not None
    try:
        with process.stdout, process.stdin:
            process.stdin.write(json.dumps(request, default=os.fspath).encode())
            process.stdin.close()
            line = process.stdout.readline()
    except BaseException:
        process.terminate()
        raise
    if not line:
        raise GridCWLError(f"The process for the run ended with exit code {process.wait()} before the run began")
    answer = json.loads(line)
    if "error" in answer:
        process.wait()
        raise _raised(answer)
    _reaped(process)
    folder = RunFolder(Path(answer["folder"]))
    folder.note_origin()  # "last" of this terminal or notebook, not of the new process
    return folder


def _reaped(process: subprocess.Popen[bytes]) -> None:
    """Collect the exit code when the process ends, so that none is left behind as a zombie."""
    import threading

    threading.Thread(target=process.wait, daemon=True, name="gridcwl-run-process").start()


def _raised(answer: Mapping[str, str]) -> GridCWLError:
    """The error that the process reported, of the same class."""
    kind = getattr(errors, answer["error"], GridCWLError)
    error: GridCWLError = kind.__new__(kind)
    GridCWLError.__init__(error, answer["message"], remedy=answer["remedy"])
    return error


# -- in the process ----------------------------------------------------------------------------------------------------


async def _drive(request: Mapping[str, Any]) -> int:
    async with Client(**request["settings"]) as client:
        try:
            run = await _run(client, request)
        except GridCWLError as error:
            _answer({"error": type(error).__name__, "message": error.message, "remedy": error.remedy})
            return error.exit_code
        _answer({"folder": str(run.folder)})
        _leave(run.folder)
        try:
            await run.output_object()
        except GridCWLError as error:
            print(error, file=sys.stderr)
            return error.exit_code
    return 0


async def _run(client: Client, request: Mapping[str, Any]) -> Run:
    if "resume" in request:
        return await client.resume(request["resume"], **request["changes"])
    return await client.submit(request["document"], request["inputs"])


def _answer(answer: Mapping[str, str]) -> None:
    print(json.dumps(answer), flush=True)


def _leave(folder: Path) -> None:
    """Nothing is read from or written to whoever began the run from now on."""
    log = os.open(folder / _LOG, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o600)
    null = os.open(os.devnull, os.O_RDONLY | os.O_CLOEXEC)
    for stream, file in ((0, null), (1, log), (2, log)):
        os.dup2(file, stream)


def main() -> int:
    """Work on one run; returns its exit code."""
    request = json.load(sys.stdin)
    try:
        return asyncio.run(_drive(request))
    except GridCWLError as error:  # the settings are wrong
        _answer({"error": type(error).__name__, "message": error.message, "remedy": error.remedy})
        return error.exit_code


if __name__ == "__main__":
    sys.exit(main())
