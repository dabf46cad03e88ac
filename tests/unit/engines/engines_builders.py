"""Calls and engines made of defaults, for the pure functions."""

import dataclasses

from gridcwl.worker.cli_vectors import Cli
from gridcwl.worker.engine import Call, Mount

OUT = Mount("/host/out", "/gridcwl/out", writable=True)
TMP = Mount("/host/tmp", "/gridcwl/tmp", writable=True)
INPUT = Mount("/host/data: 1,2 é", "/gridcwl/in/a b")


def a_call(**fields) -> Call:
    defaults = Call(
        name="run-step-1",
        argv=("echo", "a b"),
        environment={"HOME": "/gridcwl/out", "TMPDIR": "/gridcwl/tmp", "X": "1,2"},
        workdir="/gridcwl/out",
        stdout="/host/stdout",
        stderr="/host/stderr",
        image="sha256:abc",
        mounts=(OUT, TMP),
        labels={"gridcwl.run": "r1"},
    )
    return dataclasses.replace(defaults, **fields)


def a_cli(kind: str, **fields) -> Cli:
    return dataclasses.replace(Cli(kind, kind, uid=1000, gid=100), **fields)
