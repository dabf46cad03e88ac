"""Docker containers that are used again keep the contract of those that are not, and leave nothing between two jobs."""

import contextlib
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from docker.errors import NotFound
from docker_api import SeenByDocker
from engine_place import IMAGE, Place
from engine_suite import EngineContract

from gridcwl.backends.local.docker_reuse import ReusingDockerEngine
from gridcwl.worker.engine import Mount

pytestmark = pytest.mark.docker


@pytest.fixture(scope="module")
def engine(api, tmp_path_factory):  # noqa: ARG001  skips if missing
    engine = ReusingDockerEngine(tmp_path_factory.getbasetemp())
    yield engine
    engine.close()


class TestReusingDockerEngine(SeenByDocker, EngineContract):
    pass


@pytest.fixture
def own(api, tmp_path):
    """An engine with containers of its own; none of them is there afterwards."""
    run = {"gridcwl.run": f"reuse-{os.getpid()}-{tmp_path.name}"}
    engine = ReusingDockerEngine(tmp_path)
    yield Own(engine, api, tmp_path, run)
    engine.close()
    assert Own(engine, api, tmp_path, run).warm() == []
    assert not (tmp_path / "slots").exists() or not list((tmp_path / "slots").iterdir())


class Own:
    def __init__(self, engine, api, folder, labels):
        self.engine, self.api, self.folder, self.labels = engine, api, folder, labels
        self.number = 0

    def warm(self):
        (label,) = self.labels.items()
        found = self.api.containers(filters={"label": "=".join(label)})
        return sorted(one["Id"] for one in found if "gridcwl.warm" in one["Labels"])

    def place(self):
        self.number += 1
        folder = self.folder / f"job {self.number}"
        folder.mkdir()
        place = Place(folder, self.engine.prepare({"id": IMAGE}))
        for name in ("in", "tmp"):
            (folder / name).mkdir()
        return place

    def mounts(self, place):
        return [Mount(str(place.folder / "in"), "/job/in"), Mount(str(place.folder / "tmp"), "/tmp", writable=True)]

    def run(self, script, *, mounts=(), **fields):
        place = self.place()
        call = place.shell(script, labels=self.labels, mounts=[*self.mounts(place), *mounts], **fields)
        return place, self.engine.start(call).wait()


def test_job_after_job_runs_in_one_container(own):
    for number in range(3):
        place, ended = own.run(f"echo {number} > left; echo said")
        assert (ended.code, (place.out / "left").read_text(), place.said) == (0, f"{number}\n", "said\n")
        assert len(own.warm()) == 1
    (first,) = own.warm()
    own.run("true")
    assert own.warm() == [first]


def test_nothing_of_one_job_is_seen_by_the_next(own):
    own.run("echo x > left; echo x > /tmp/left; export LEFT=1")
    place, _ = own.run('ls /out /tmp | grep left; echo "[$LEFT]"', environment={})
    assert place.said == "[]\n"
    assert list(place.out.iterdir()) == []


def test_what_a_job_left_running_ends_with_it(own):
    place, ended = own.run("sleep 1000 & echo started")
    assert (ended.code, place.said) == (0, "started\n")
    assert own.warm() == [], "the container is not used again"
    place, _ = own.run("cat /proc/[0-9]*/comm")
    assert "sleep" not in place.said


def test_what_was_staged_is_there_and_what_was_made_comes_back(own):
    place = own.place()
    (place.out / "given").write_text("staged")
    (place.out / "folder").mkdir()
    call = place.shell("cat given; echo made > folder/made", labels=own.labels, mounts=own.mounts(place))
    assert own.engine.start(call).wait().code == 0
    assert place.said == "staged"
    assert (place.out / "folder" / "made").read_text() == "made\n"
    assert not place.out.is_symlink()
    assert sorted(path.name for path in place.folder.iterdir()) == ["in", "out", "stderr", "stdout", "tmp"]


def test_inputs_are_hard_links_that_cannot_be_changed(own, tmp_path):
    for number in range(3):
        given = tmp_path / f"input {number}"
        given.write_text(f"as it was {number}")
        place = own.place()
        (place.folder / "in" / "x").hardlink_to(given)
        call = place.shell("cat /job/in/x; echo changed > /job/in/x", labels=own.labels, mounts=own.mounts(place))
        assert own.engine.start(call).wait().code != 0
        assert (place.said, given.read_text()) == (f"as it was {number}",) * 2
        assert len(own.warm()) == 1


def test_one_that_has_to_be_mounted_takes_a_container_of_its_own(own, tmp_path):
    given = tmp_path / "neighbours" / "input ä"
    given.parent.mkdir()
    given.write_text("given")
    place = own.place()
    (place.folder / "in" / "x").touch()
    mounts = [*own.mounts(place), Mount(str(given), "/job/in/x")]
    assert own.engine.start(place.shell("cat /job/in/x", labels=own.labels, mounts=mounts)).wait().code == 0
    assert place.said == "given"
    assert own.warm() == []


def test_nothing_of_other_jobs_and_of_this_machine_is_seen(own):
    own.run("echo x > left")
    place, _ = own.run("cut -d' ' -f5 /proc/self/mountinfo | grep -vE '^/(proc|sys|dev|etc)(/|$)'")
    seen = {mount for mount in place.said.split() if not mount.endswith("/docker-init")}
    assert seen == {"/", "/job/in", "/out", "/tmp"}


@pytest.mark.parametrize("field", [{"network": True}, {"ram_mib": 64}])
def test_what_a_warm_container_cannot_give_is_given_by_one_of_its_own(own, field):
    place, ended = own.run("echo ran", **field)
    assert (ended.code, place.said) == (0, "ran\n")
    assert own.warm() == []


def test_a_killed_job_takes_its_container_along(own):
    place = own.place()
    started = place.pipe("started")
    script = "trap '' TERM; (trap '' TERM; sleep 1000) & echo > started; while :; do wait; done"
    running = own.engine.start(place.shell(script, labels=own.labels, mounts=own.mounts(place)))
    started.read_text()
    (container,) = own.warm()
    running.terminate()
    running.kill()
    assert running.wait().code == -signal.SIGKILL
    with contextlib.suppress(NotFound):
        own.api.wait(container, condition="removed", timeout=60)
    assert own.warm() == []
    assert own.run("echo next")[1].code == 0


def test_a_client_that_is_killed_leaves_no_container(api, tmp_path):
    program = f"""
import sys; sys.path.insert(0, {str(Path(__file__).parent)!r})
from pathlib import Path
from engine_place import IMAGE, Place
from gridcwl.backends.local.docker_reuse import ReusingDockerEngine
engine = ReusingDockerEngine(Path({str(tmp_path)!r}))
place = Place(Path({str(tmp_path)!r}), engine.prepare({{"id": IMAGE}}))
engine.start(place.shell("trap '' TERM HUP; echo started; sleep 1000", labels={{"gridcwl.run": {tmp_path.name!r}}}))
print("ready", flush=True)
import time; time.sleep(1000)
"""
    client = subprocess.Popen([sys.executable, "-c", program], stdout=subprocess.PIPE, text=True)
    assert client.stdout.readline() == "ready\n"
    found = api.containers(filters={"label": f"gridcwl.run={tmp_path.name}"})
    assert len(found) == 1
    client.kill()
    client.wait()
    with contextlib.suppress(NotFound):
        api.wait(found[0]["Id"], condition="removed", timeout=60)
    assert not api.containers(all=True, filters={"label": f"gridcwl.run={tmp_path.name}"})
