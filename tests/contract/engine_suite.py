"""What every container engine must do. A third engine is tested by inheriting from the classes here.

What an implementation has to give: the fixture ``engine`` in its module, ``forget_image`` and ``is_gone``. The image
named in ``engine_place`` must be on the machine; no test needs a registry.
"""

import hashlib
import logging
import os
import re
import signal
import uuid
from concurrent.futures import ThreadPoolExecutor

import pytest
from engine_place import IMAGE, Place, docker_archive, small_rootfs
from waiting import until

from gridcwl.worker.engine import EngineError, Mount


class EngineHooks:
    """What an implementation gives to the suite."""

    def forget_image(self, name: str) -> None:
        """Remove an image that a test has made; it may not be there."""
        raise NotImplementedError

    def is_gone(self, name: str) -> bool:
        """Whether no container has this name. May wait for one that is being removed."""
        raise NotImplementedError

    @pytest.fixture
    def place(self, engine, tmp_path):
        return Place(tmp_path, engine.prepare({"id": IMAGE, "pull": IMAGE}))

    @pytest.fixture
    def new_image(self):
        """A name for an image that is not there yet."""
        name = f"gridcwl-test/image:{uuid.uuid4().hex[:12]}"
        yield name
        self.forget_image(name)


def code_of(engine, call) -> int:
    return engine.start(call).wait().code


def status_of(text: str) -> dict[str, str]:
    """The fields of ``/proc/PID/status``."""
    return {name: value.strip() for name, _, value in (line.partition(":") for line in text.splitlines())}


class ProcessContract(EngineHooks):
    """The tool as a process: its arguments, environment, streams and end."""

    @pytest.mark.parametrize("code", [0, 1, 3, 125, 126, 127, 200, 255])
    def test_the_exit_code_is_the_tools(self, engine, place, code):
        assert code_of(engine, place.shell(f"exit {code}")) == code

    def test_a_tool_that_dies_of_a_signal_is_reported_as_a_shell_would(self, engine, place):
        # Not as -9: a tool may return 137 by itself, and an engine cannot tell the two apart.
        assert code_of(engine, place.shell("kill -KILL $$")) == 128 + signal.SIGKILL

    def test_what_the_tool_used_is_measured_while_it_runs(self, engine, place):
        # The first head cannot end before "go", for nobody reads its last bytes: what a process wrote is seen in time.
        tool = (
            "head -c 70000000 /dev/zero | (head -c 60000000; touch passed; until [ -e go ]; do sleep 0.05; done)"
            " | tail -c 50000000 > /dev/null"
        )
        running = engine.start(place.shell(tool))
        until((place.out / "passed").exists)
        until(lambda: (running._sample.look().max_rss_mib or 0) > 45)
        (place.out / "go").touch()

        ended = running.wait()

        assert ended.code == 0
        assert 45 < ended.max_rss_mib < 100
        assert ended.cpu_s > 0
        assert ended.written_bytes >= 60_000_000

    def test_arguments_arrive_as_they_are(self, engine, place):
        arguments = ["", "a b", "$HOME", '"', "'", "\\", "--rm", "ä\n", ";", "*"]
        assert code_of(engine, place.call("printf", "[%s]", *arguments)) == 0
        assert place.said == "".join(f"[{argument}]" for argument in arguments)

    def test_environment_variables_arrive_as_they_are(self, engine, place):
        values = {"PLAIN": "x", "EMPTY": "", "ODD": "a=b c\n'\"$HOME ä,é", "HOME": "/out"}
        call = place.shell('printf "%s|" "$PLAIN" "${EMPTY-unset}" "$ODD" "$HOME"', environment=values)
        assert code_of(engine, call) == 0
        assert place.said == "x||a=b c\n'\"$HOME ä,é|/out|"

    def test_nothing_of_the_callers_environment_gets_in(self, engine, place, monkeypatch):
        monkeypatch.setenv("GRIDCWL_TEST_LEAK", "1")
        monkeypatch.setenv("http_proxy", "http://proxy.invalid")
        assert code_of(engine, place.shell('echo "$GRIDCWL_TEST_LEAK$http_proxy"')) == 0
        assert place.said == "\n"

    def test_the_tool_starts_in_its_working_directory(self, engine, place):
        (place.out / "a b").mkdir()
        assert code_of(engine, place.call("pwd", workdir="/out/a b")) == 0
        assert place.said == "/out/a b\n"

    def test_without_stdin_the_tool_reads_an_end(self, engine, place):
        assert code_of(engine, place.shell("cat; echo end")) == 0
        assert place.said == "end\n"

    @pytest.mark.parametrize("size", [0, 1, 5_000_000])
    def test_stdin_is_the_file(self, engine, place, size):
        contents = os.urandom(size)
        given = place.file("given", contents)
        assert code_of(engine, place.call("sha1sum", stdin=str(given))) == 0
        assert place.said.split()[0] == hashlib.sha1(contents).hexdigest()

    def test_a_tool_need_not_read_all_of_its_stdin(self, engine, place):
        given = place.file("given", b"x" * 20_000_000)
        for _ in range(3):  # podman 4.3 loses what was printed in one case of fifteen, if the streams pass through it
            assert code_of(engine, place.call("head", "-c", "1", stdin=str(given))) == 0
            assert place.said == "x"

    def test_a_stdin_that_is_not_there_is_an_error_before_the_start(self, engine, place):
        with pytest.raises((OSError, EngineError)):
            engine.start(place.call("cat", stdin=str(place.folder / "missing")))

    def test_both_streams_are_kept_apart_and_any_bytes_pass(self, engine, place):
        assert code_of(engine, place.shell(r"printf '\377\000\001'; printf 'err\200' >&2")) == 0
        assert place.stdout.read_bytes() == b"\xff\x00\x01"
        assert place.stderr.read_bytes() == b"err\x80"

    def test_both_streams_may_go_to_one_file(self, engine, place):
        assert code_of(engine, place.shell("echo out; echo err >&2", stderr=str(place.stdout))) == 0
        assert sorted(place.said.split()) == ["err", "out"]

    def test_64_mb_on_one_line_with_10_mb_of_stderr(self, engine, place):
        script = "head -c 10000000 /dev/zero >&2 & head -c 64000000 /dev/zero; wait"
        assert code_of(engine, place.shell(script)) == 0
        assert place.stdout.stat().st_size == 64_000_000
        assert place.stderr.stat().st_size == 10_000_000

    def test_nothing_of_a_quick_tool_is_lost(self, engine, place):
        for number in range(5):
            assert code_of(engine, place.call("echo", str(number))) == 0
            assert place.said == f"{number}\n"

    @pytest.mark.parametrize(("program", "code"), [("no-such-program", 127), ("/etc/passwd", 126)])
    def test_a_program_that_cannot_be_executed_is_the_tools_failure(self, engine, place, program, code):
        assert code_of(engine, place.call(program)) == code
        assert place.stderr.read_text()

    def test_many_at_once(self, engine, place, tmp_path):
        def one(number: int) -> str:
            folder = tmp_path / str(number)
            folder.mkdir()
            mine = Place(folder, place.image)
            assert code_of(engine, mine.shell(f"echo {number}; echo {number} > left")) == 0
            assert (mine.out / "left").read_text() == mine.said
            return mine.said

        with ThreadPoolExecutor(6) as pool:
            assert list(pool.map(one, range(12))) == [f"{number}\n" for number in range(12)]


class IsolationContract(EngineHooks):
    """What the tool can see and change, and what is left of it."""

    def test_what_it_writes_belongs_to_the_caller(self, engine, place):
        assert code_of(engine, place.shell("echo x > mine")) == 0
        assert (place.out / "mine").stat().st_uid == os.geteuid()
        assert (place.out / "mine").stat().st_gid == os.getegid()

    def test_a_read_only_mount_cannot_be_written(self, engine, place):
        given = place.file("given", b"as it was")
        call = place.shell("cat /in/x; echo changed > /in/x", mounts=[Mount(str(given), "/in/x")])
        assert code_of(engine, call) != 0
        assert (place.said, given.read_bytes()) == ("as it was", b"as it was")

    def test_a_writable_mount_can(self, engine, place):
        given = place.file("given", b"as it was")
        assert code_of(engine, place.shell("echo new > /in/x", mounts=[Mount(str(given), "/in/x", writable=True)])) == 0
        assert given.read_text() == "new\n"

    def test_a_mount_inside_another(self, engine, place):
        given = place.file("given", b"inner")
        assert code_of(engine, place.shell("cat /out/deep/x", mounts=[Mount(str(given), "/out/deep/x")])) == 0
        assert place.said == "inner"

    @pytest.mark.parametrize("name", ["a b", "a:b", "a,b", "ä é 星", 'quo"te', "it's", "$HOME", "x=y", "back\\slash"])
    def test_any_name_can_be_mounted(self, engine, place, name):
        given = place.file(f"{name}/file {name}", b"found")
        mount = Mount(str(given), f"/in/{name}/file {name}")
        assert code_of(engine, place.call("cat", mount.target, mounts=[mount])) == 0
        assert place.said == "found"

    def test_a_source_that_is_not_there_is_the_engines_error_and_is_not_made(self, engine, place):
        missing = place.folder / "missing"
        call = place.call("true", mounts=[Mount(str(missing), "/in/x")])
        with pytest.raises(EngineError, match="missing"):
            engine.start(call).wait()
        assert not missing.exists()
        assert self.is_gone(call.name)

    def test_the_image_itself_is_read_only(self, engine, place):
        assert code_of(engine, place.shell("echo x > /etc/left")) != 0

    def test_there_is_no_network_unless_asked(self, engine, place):
        assert code_of(engine, place.call("cat", "/proc/net/dev")) == 0
        assert [line.split(":")[0].strip() for line in place.said.splitlines()[2:]] == ["lo"]

    def test_there_is_one_if_asked(self, engine, place):
        assert code_of(engine, place.call("cat", "/proc/net/dev", network=True)) == 0
        assert len(place.said.splitlines()) > 3

    def test_it_is_ended_for_taking_more_memory_than_its_limit(self, engine, place):
        call = place.shell("x=x; while :; do x=$x$x; done", ram_mib=32)
        ended = engine.start(call).wait()
        assert ended.out_of_memory
        assert ended.code != 0
        assert self.is_gone(call.name)

    def test_limits_that_are_kept_do_no_harm(self, engine, place):
        call = place.call("true", ram_mib=64, cores=0.5)
        ended = engine.start(call).wait()
        assert (ended.code, ended.out_of_memory) == (0, False)
        assert self.is_gone(call.name)

    def test_it_has_no_capabilities_and_can_gain_none(self, engine, place):
        assert code_of(engine, place.call("cat", "/proc/self/status")) == 0
        status = status_of(place.said)
        assert [int(status[name], 16) for name in ("CapPrm", "CapEff", "CapBnd", "CapAmb")] == [0, 0, 0, 0]
        assert status["NoNewPrivs"] == "1"

    def test_a_capability_is_given_back_if_asked(self, engine, place):
        assert code_of(engine, place.call("cat", "/proc/self/status", capabilities=("SYS_CHROOT",))) == 0
        assert int(status_of(place.said)["CapBnd"], 16) == 1 << 18

    def test_the_number_of_its_processes_is_limited(self, engine, place):
        script = "for n in $(seq 40); do sleep 30 & done 2>/dev/null; echo all started; kill 0"
        engine.start(place.shell(script, processes=20)).wait()
        assert "all started" not in place.said

    @pytest.mark.parametrize("script", ["true", "false", "kill -KILL $$"])
    def test_nothing_is_left_after_the_end(self, engine, place, script):
        call = place.shell(script)
        engine.start(call).wait()
        assert self.is_gone(call.name)


class StoppingContract(EngineHooks):
    """Ending a tool that runs."""

    def test_a_tool_without_a_handler_ends_by_sigterm(self, engine, place):
        started = place.pipe("started")
        running = engine.start(place.shell("echo > started; exec sleep 1000"))
        started.read_text()
        running.terminate()
        assert running.wait().code == -signal.SIGTERM

    def test_a_tool_can_end_in_its_own_way(self, engine, place):
        started = place.pipe("started")
        call = place.shell("trap 'echo bye; exit 5' TERM; echo > started; sleep 1000 & wait")
        running = engine.start(call)
        started.read_text()
        running.terminate()
        assert running.wait().code == 5
        assert place.said == "bye\n"
        assert self.is_gone(call.name)

    def test_one_that_ignores_sigterm_is_killed_with_all_that_it_started(self, engine, place):
        started, asked = place.pipe("started"), place.pipe("asked")
        call = place.shell("trap 'echo > asked' TERM; sleep 1000 & echo > started; while :; do wait; done")
        running = engine.start(call)
        started.read_text()
        running.terminate()
        asked.read_text()
        running.kill()
        assert running.wait().code == -signal.SIGKILL
        assert self.is_gone(call.name)

    def test_stopping_what_has_ended_does_nothing(self, engine, place):
        running = engine.start(place.call("true"))
        assert running.wait().code == 0
        running.terminate()
        running.kill()

    def test_one_that_was_just_started_can_be_killed(self, engine, place):
        call = place.call("sleep", "1000")
        running = engine.start(call)
        running.kill()
        assert running.wait().code == -signal.SIGKILL
        assert self.is_gone(call.name)

    def test_what_a_run_left_behind_is_removed_by_its_label(self, engine, place):
        started = place.pipe("started")
        call = place.shell("echo > started; exec sleep 1000")
        running = engine.start(call)
        started.read_text()
        assert engine.cleanup("another-run") == 0
        assert engine.cleanup(call.labels["gridcwl.run"]) == 1
        assert running.wait().code != 0
        assert self.is_gone(call.name)


class ImageContract(EngineHooks):
    """How images come to the engine."""

    def test_an_image_that_is_unavailable_is_reported_in_one_line(self, engine):
        name = "registry.invalid/gridcwl/nothing:1"
        with pytest.raises(EngineError) as raised:
            engine.prepare({"id": name, "pull": name})
        assert name in str(raised.value)
        assert "\n" not in str(raised.value)

    def test_an_image_that_comes_from_nowhere_is_reported(self, engine, new_image):
        with pytest.raises(EngineError, match="has no source"):
            engine.prepare({"id": new_image})

    def test_a_call_with_an_image_that_is_not_there_is_refused(self, engine, place, new_image):
        call = place.call("true", image=new_image)
        with pytest.raises(EngineError):
            engine.start(call).wait()
        assert self.is_gone(call.name)

    def test_docker_file_is_built_once_for_many(self, engine, place, new_image, caplog):
        image = {"id": new_image, "file": f"FROM {IMAGE}\nRUN cat /proc/sys/kernel/random/uuid > /built\n"}
        with caplog.at_level(logging.INFO, "gridcwl.images"), ThreadPoolExecutor(4) as pool:
            identifiers = set(pool.map(engine.prepare, [image] * 8))
        assert len(identifiers) == 1
        assert [record.getMessage() for record in caplog.records] == [f"building {new_image}"]
        assert code_of(engine, place.call("cat", "/built", image=identifiers.pop())) == 0
        assert place.said

    def test_an_image_has_a_digest_that_the_engine_finds_it_by(self, engine, new_image):
        image = engine.prepare({"id": new_image, "file": "FROM scratch\nLABEL a=b"})
        digest = engine.digest(image)
        assert re.fullmatch(r"(\S+@)?(sha256:)?[0-9a-f]{64}", digest)
        assert engine.prepare({"id": digest}) == image

    def test_a_changed_docker_file_is_built_again(self, engine, new_image):
        first = engine.prepare({"id": new_image, "file": f"FROM {IMAGE}\nRUN echo 1 > /built\n"})
        assert engine.prepare({"id": new_image, "file": f"FROM {IMAGE}\nRUN echo 2 > /built\n"}) != first

    def test_a_docker_file_that_fails_is_reported(self, engine, new_image):
        with pytest.raises(EngineError, match=new_image):
            engine.prepare({"id": new_image, "file": f"FROM {IMAGE}\nRUN exit 7\n"})

    def test_the_images_entry_point_is_honoured(self, engine, place, new_image):
        dockerfile = f'FROM {IMAGE}\nENTRYPOINT ["/bin/echo", "entry"]\n'
        call = place.call("a", "b", image=engine.prepare({"id": new_image, "file": dockerfile}))
        assert code_of(engine, call) == 0
        assert place.said == "entry a b\n"

    def test_docker_import(self, engine, place, new_image):
        rootfs = small_rootfs(place.folder / "rootfs.tar")
        call = place.shell("echo imported", image=engine.prepare({"id": new_image, "rootfs": str(rootfs)}))
        assert code_of(engine, call) == 0
        assert place.said == "imported\n"

    def test_docker_load(self, engine, place, new_image):
        rootfs = small_rootfs(place.folder / "rootfs.tar")
        archive = docker_archive(place.folder / "image.tar", rootfs, new_image)
        call = place.shell("echo loaded", image=engine.prepare({"id": new_image, "load": archive.as_uri()}))
        assert code_of(engine, call) == 0
        assert place.said == "loaded\n"

    def test_an_archive_that_holds_another_image_is_reported(self, engine, place, new_image):
        other = new_image + "-other"
        archive = docker_archive(place.folder / "image.tar", small_rootfs(place.folder / "rootfs.tar"), other)
        try:
            with pytest.raises(EngineError, match="is not there"):
                engine.prepare({"id": new_image, "load": str(archive)})
        finally:
            self.forget_image(other)

    @pytest.mark.parametrize("field", ["load", "rootfs"])
    def test_an_archive_that_is_not_there_is_reported(self, engine, place, new_image, field):
        with pytest.raises(EngineError, match=r"missing\.tar"):
            engine.prepare({"id": new_image, field: str(place.folder / "missing.tar")})


class EngineContract(ProcessContract, IsolationContract, StoppingContract, ImageContract):
    """All of it."""
