"""Services that share a database: runs are taken over from who has ended, and nothing runs twice."""

from __future__ import annotations

import os
import shutil
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
from documents import on_command_line, shell, step, workflow
from sqlalchemy import create_engine, text
from waiting import has_ended, until
from wes import IMAGE, Wes, serving

pytestmark = [pytest.mark.docker, pytest.mark.postgresql]

# each says in a file of this machine when it begins and ends, and waits for another one in between
JOB = shell(
    'echo "begin $0" >> at/witness; until [ -e "at/gate-$0" ]; do sleep 0.1; done; echo "end $0" >> at/witness; '
    'echo "said $0"',
    inputs={"name": on_command_line("string"), "at": "Directory", "after": "File?"},
    outputs={"said": "stdout"},
    stdout="said.txt",
    requirements={
        **IMAGE,
        "InplaceUpdateRequirement": {"inplaceUpdate": True},
        "InitialWorkDirRequirement": {"listing": [{"entry": "$(inputs.at)", "entryname": "at", "writable": True}]},
    },
)
BOTH = workflow(
    {"at": "Directory"},
    {"said": {"type": "File", "outputSource": "second/said"}},
    first=step(JOB, "said", at="at", name={"default": "first"}),
    second=step(JOB, "said", at="at", name={"default": "second"}, after="first/said"),
)


class Site:
    """The folder that all jobs see."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        folder.mkdir()
        (folder / "witness").touch()

    @property
    def inputs(self) -> dict[str, Any]:
        """Of the workflow."""
        return {"at": {"class": "Directory", "location": self.folder.as_uri()}}

    def open(self, name: str) -> None:
        """Let a job end."""
        (self.folder / f"gate-{name}").touch()

    @property
    def lines(self) -> list[str]:
        """What jobs have said."""
        return (self.folder / "witness").read_text().splitlines()


@pytest.fixture
def site(tmp_path: Path) -> Site:
    return Site(tmp_path / "site")


def asked(url: str, query: str) -> list[Any]:
    """Rows of the service's database."""
    engine = create_engine(url.replace("postgresql:", "postgresql+psycopg:"))
    with engine.connect() as connection:
        found = list(connection.execute(text(query)))
    engine.dispose()
    return found


def owner(url: str, run: str) -> int:
    """The process that owns a run; 0 if none does."""
    query = f"SELECT pid FROM drivers JOIN journals ON journals.driver = drivers.id WHERE engine = '{run}'"
    return next((int(pid) for (pid,) in asked(url, query)), 0)


@contextmanager
def service(folder: Path, url: str, site: Site, drivers: int, **settings: Any) -> Iterator[Wes]:
    """A machine: it answers requests in this process, and works on runs in others."""
    folder.mkdir(exist_ok=True)
    roots = [str(site.folder)]
    with serving(folder, db=url, drivers=drivers, in_place=True, file_roots=roots, **settings) as client:
        yield client


def begun(wes: Wes, site: Site) -> str:
    """A run whose first job has ended, and whose second one waits."""
    run = wes.submit(BOTH, site.inputs)
    site.open("first")
    until(lambda: "begin second" in site.lines)
    return run


def ended_well(wes: Wes, run: str, site: Site) -> None:
    """Let the second job end, which runs for the second time: the first time it was stopped."""
    until(lambda: site.lines.count("begin second") >= 2)
    site.open("second")
    log = wes.ended(run)
    assert log["state"] == "COMPLETE", log
    assert wes.http.get(log["outputs"]["said"]["location"]).text == "said second\n"
    assert [site.lines.count(line) for line in ("begin first", "end first", "end second")] == [1, 1, 1]


def test_a_killed_driver_is_replaced_and_no_finished_job_runs_again(tmp_path: Path, postgresql_url: str, site: Site):
    url = postgresql_url
    with service(tmp_path / "a", url, site, drivers=2) as wes:
        run = begun(wes, site)
        killed = owner(url, run)
        os.kill(killed, signal.SIGKILL)
        until(lambda: owner(url, run) not in (0, killed))
        ended_well(wes, run, site)
        assert [task["name"] for task in wes.get(f"/runs/{run}/tasks").json()["task_logs"]].count("first") == 1


def test_a_driver_that_was_suspended_finds_itself_fenced_off_when_it_wakes_up(
    tmp_path: Path, postgresql_url: str, site: Site
):
    url = postgresql_url
    with service(tmp_path / "a", url, site, drivers=2, takeover_s=5) as wes:
        run = begun(wes, site)
        suspended = owner(url, run)
        os.kill(suspended, signal.SIGSTOP)
        try:
            ended_well(wes, run, site)
        finally:
            os.kill(suspended, signal.SIGCONT)
        until(lambda: has_ended(suspended))  # it ends rather than do anything more
        assert wes.state(run) == "COMPLETE"
        changes = asked(
            url, "SELECT fence, min(number), max(number) FROM journal_changes GROUP BY fence ORDER BY fence"
        )
        assert len(changes) >= 2  # more, where a busy machine has let the next driver be late as well
        assert all(last < first for (_, _, last), (_, first, _) in pairwise(changes))


def test_a_machine_takes_over_the_runs_of_one_whose_disk_is_lost(tmp_path: Path, postgresql_url: str, site: Site):
    url = postgresql_url
    with service(tmp_path / "b", url, site, drivers=0) as other:
        with service(tmp_path / "a", url, site, drivers=1) as wes:
            run = wes.submit(BOTH, site.inputs)
            until(lambda: "begin first" in site.lines)
        shutil.rmtree(tmp_path / "a")
        for name in ("first", "second"):
            site.open(name)
        with service(tmp_path / "c", url, site, drivers=1):
            log = other.ended(run)
        assert log["state"] == "COMPLETE", log
        assert other.http.get(log["outputs"]["said"]["location"]).text == "said second\n"
        assert "has started" in other.get(f"/runs/{run}/stderr").text
        last = other.get(f"/runs/{run}/tasks").json()["task_logs"][-1]
        assert other.http.get(last["stdout"]).status_code == 200
