"""Toil's WES client and the cwltool that it calls, imported once: each run of them is a fork of this process.

It is run by the Python of Toil's environment, and reads lines of JSON: arguments, folder, files for stdout and stderr.
Each is answered by a line with the exit code. Importing takes ten times as long as what the programs do.
"""

import contextlib
import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

from cwltool.main import main as cwltool  # type: ignore[import-untyped,unused-ignore]
from toil.server.cli import wes_cwl_runner  # type: ignore[import-not-found]

RUN = subprocess.run


def forked(action: Any, stdout: int, stderr: int) -> int:
    """The exit code of a function in a process of its own."""
    child = os.fork()
    if child:
        return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    code = 1
    with contextlib.suppress(BaseException):
        os.dup2(stdout, 1)
        os.dup2(stderr, 2)
        try:
            code = action() or 0
        except SystemExit as end:
            code = end.code if isinstance(end.code, int) else int(end.code is not None)
            if isinstance(end.code, str):
                print(end.code, file=sys.stderr)
        except BaseException as error:  # noqa: BLE001  what a program would print
            print(f"{type(error).__name__}: {error}", file=sys.stderr)
        sys.stdout.flush()
        sys.stderr.flush()
    os._exit(code)


def run_cwltool(args: list[str], **_options: Any) -> "subprocess.CompletedProcess[bytes]":
    """As ``subprocess.run``, for the one program that the client runs."""
    assert args[0] == "cwltool"
    with Path(os.devnull).open("w") as nothing, tempfile.TemporaryFile() as output:
        code = forked(lambda: real_cwltool(args), output.fileno(), nothing.fileno())
        output.seek(0)
        data = output.read()
    if code:
        raise subprocess.CalledProcessError(code, args)
    return subprocess.CompletedProcess(args, code, data)


def real_cwltool(args: list[str]) -> int:
    """cwltool, which runs programs itself."""
    subprocess.run = RUN  # type: ignore[assignment]
    return int(cwltool(args[1:]))


def client(arguments: list[str], folder: str) -> None:
    """The client, as its program runs it."""
    os.chdir(folder)
    sys.argv = ["toil-wes-cwl-runner", *arguments]
    subprocess.run = run_cwltool  # type: ignore[assignment]
    wes_cwl_runner.main()


for line in sys.stdin:
    given = json.loads(line)
    with Path(given["stdout"]).open("w") as out, Path(given["stderr"]).open("w") as err:
        code = forked(lambda: client(given["arguments"], given["folder"]), out.fileno(), err.fileno())  # noqa: B023
    print(code, flush=True)
