"""Dask workers in jobs of Slurm and HTCondor, and in pods: what those are given is run, by stand-ins for them."""

from __future__ import annotations

import os
import signal
import sys
import types
from collections.abc import Callable, Iterator
from contextlib import AbstractAsyncContextManager
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("distributed")
pytest.importorskip("dask_jobqueue")

import contextlib

from dask_processes import COMPILED
from distributed import LocalCluster

from gridcwl import plugins
from gridcwl.backends import Backend
from gridcwl.backends.base import BackendContext, JobOptions
from gridcwl.backends.dask.plugin import DaskSettings
from gridcwl.model import RunId
from gridcwl.testing.backends import Place, text_of

# Each starts the script that it is given as a process with nothing but what a batch system passes on, and prints what
# dask-jobqueue reads the job's number from.
SBATCH = """#!{python}
import pathlib, subprocess, sys
script = pathlib.Path(sys.argv[-1]).read_text()
pathlib.Path({folder!r}, "script").write_text(script)
log = open({folder!r} + "/log", "wb")
started = subprocess.Popen(["/bin/bash", "-c", script], stdin=-3, stdout=log, stderr=log, start_new_session=True)
pathlib.Path({folder!r}, "pid").write_text(str(started.pid))
print("Submitted batch job", started.pid)
"""
CONDOR_SUBMIT = """#!{python}
import pathlib, shlex, subprocess, sys
script = pathlib.Path(sys.argv[-1]).read_text()
pathlib.Path({folder!r}, "script").write_text(script)
said = dict((part.strip() for part in line.split("=", 1)) for line in script.splitlines() if "=" in line)
# HTCondor's new syntax: the whole in double quotes, arguments with blanks in single ones
words = [said["Executable"], *shlex.split(said["Arguments"].strip('"'))]
log = open({folder!r} + "/log", "wb")
started = subprocess.Popen(words, stdin=-3, stdout=log, stderr=log, start_new_session=True)
pathlib.Path({folder!r}, "pid").write_text(str(started.pid))
print("1 job(s) submitted to cluster", str(started.pid) + ".")
"""
CANCEL = """#!/bin/sh
for job; do kill -TERM -- "-${{job%%.*}}" 2> /dev/null; done
touch {folder}/cancelled
"""
COMMANDS = {
    "slurm": {"sbatch": SBATCH, "scancel": CANCEL},
    "htcondor": {"condor_submit": CONDOR_SUBMIT, "condor_rm": CANCEL},
}


@pytest.fixture
def batch(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A folder in which stand-ins for the commands of batch systems leave what they were given."""
    folder = tmp_path / "batch"
    (folder / "bin").mkdir(parents=True)
    for commands in COMMANDS.values():
        for name, text in commands.items():
            (folder / "bin" / name).write_text(text.format(python=sys.executable, folder=str(folder)))
            (folder / "bin" / name).chmod(0o755)
    for name, value in COMPILED.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setenv("PATH", f"{folder / 'bin'}:{os.environ['PATH']}")
    yield folder
    if (folder / "pid").exists():
        with contextlib.suppress(ProcessLookupError):
            os.killpg(int((folder / "pid").read_text()), signal.SIGKILL)


def opener(settings: DaskSettings, folder: Path) -> Callable[[RunId], AbstractAsyncContextManager[Backend]]:
    choice = plugins.BackendChoice("dask", settings, JobOptions())
    return lambda run: plugins.open_backend(choice, BackendContext(run, folder))


@pytest.mark.parametrize("system", sorted(COMMANDS))
def test_jobs_run_in_dask_workers_that_a_batch_system_starts_and_these_end_with_the_run(
    system: str, batch: Path, tmp_path: Path
) -> None:
    settings = DaskSettings(cluster=system, cores=2, ram=1024)  # type: ignore[arg-type]
    place = Place(opener(settings, tmp_path / "run"), patience_s=120)
    (result,) = place.results([place.job(1, "echo $PPID > out.txt")]).values()
    assert int(text_of(result)), (batch / "log").read_text()
    assert "distributed.cli.dask_worker" in (batch / "script").read_text()
    assert (batch / "cancelled").exists()


def test_jobs_run_in_pods_that_kubernetes_starts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A stand-in for dask-kubernetes takes what its KubeCluster takes, and starts workers as their command says."""
    given: dict[str, Any] = {}

    class KubeCluster(LocalCluster):
        def __init__(
            self,
            *,
            image: str,
            namespace: str,
            n_workers: int,
            resources: dict[str, Any],
            worker_command: list[str],
            shutdown_on_close: bool,
            asynchronous: bool,
        ) -> None:
            given.update(image=image, namespace=namespace, resources=resources, shutdown=shutdown_on_close)
            words = dict(zip(worker_command[2::2], worker_command[3::2], strict=True))
            pairs = (pair.split("=") for pair in words["--resources"].split())
            super().__init__(
                n_workers=n_workers,
                threads_per_worker=int(words["--nthreads"]),
                resources={name: float(value) for name, value in pairs},
                processes=False,
                protocol="inproc://",
                dashboard_address=None,
                scheduler_kwargs={"dashboard_address": "127.0.0.1:0"},
                local_directory=str(tmp_path / "pods"),
                asynchronous=asynchronous,
            )

    monkeypatch.setitem(sys.modules, "dask_kubernetes", types.ModuleType("dask_kubernetes"))
    operator = types.ModuleType("dask_kubernetes.operator")
    monkeypatch.setattr(operator, "KubeCluster", KubeCluster, raising=False)
    monkeypatch.setitem(sys.modules, "dask_kubernetes.operator", operator)
    settings = DaskSettings(cluster="kubernetes", cores=2, image="dask:1", folder=str(tmp_path / "there"))
    place = Place(opener(settings, tmp_path / "run"))
    (result,) = place.results([place.job(1, "echo hello > out.txt")]).values()
    assert text_of(result) == "hello\n"
    assert given == {
        "image": "dask:1",
        "namespace": "default",
        "resources": {kind: {"cpu": "2", "memory": "2048Mi"} for kind in ("requests", "limits")},
        "shutdown": True,
    }
