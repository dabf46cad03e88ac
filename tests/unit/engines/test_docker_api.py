"""What is sent to the Docker engine, and how its streams are taken apart. Nothing is run."""

import io
import itertools
import random
import struct
import threading
from concurrent.futures import ThreadPoolExecutor
from http.server import BaseHTTPRequestHandler, HTTPServer

import pytest
from engines_builders import INPUT, OUT, a_call

from gridcwl.backends.local.docker_engine import container_config
from gridcwl.backends.local.docker_stream import Demultiplexer
from gridcwl.worker.engine import ContainerSettings, EngineError
from gridcwl.worker.image_source import open_archive
from gridcwl.worker.once import Once


def test_a_container_is_isolated_as_cwltool_does_it():
    config = container_config(a_call(mounts=(OUT, INPUT)), "1000:100")
    assert (config["Cmd"], config["User"], config["WorkingDir"]) == (["echo", "a b"], "1000:100", "/gridcwl/out")
    assert "Entrypoint" not in config
    assert config["HostConfig"] == {
        "NetworkMode": "none",
        "Init": True,
        "ReadonlyRootfs": True,
        "SecurityOpt": ["no-new-privileges"],
        "CapDrop": ["ALL"],
        "CapAdd": [],
        "PidsLimit": 4096,
        "LogConfig": {"Type": "none"},
        "AutoRemove": True,
        "Mounts": [
            {"Type": "bind", "Source": "/host/out", "Target": "/gridcwl/out", "ReadOnly": False},
            {"Type": "bind", "Source": "/host/data: 1,2 é", "Target": "/gridcwl/in/a b", "ReadOnly": True},
        ],
    }


def test_limits_are_set_when_asked():
    host = container_config(a_call(cores=1.5, ram_mib=512, gpus=2, network=True), "0:0")["HostConfig"]
    assert (host["NanoCpus"], host["Memory"], host["MemorySwap"]) == (1_500_000_000, 2**29, 2**29)
    assert host["DeviceRequests"] == [{"Count": 2, "Capabilities": [["gpu"]]}]
    assert (host["NetworkMode"], host["AutoRemove"]) == ("default", False)


def test_the_images_user_can_write_to_folders_of_the_caller():
    host = container_config(a_call(capabilities=("NET_RAW",)), "0:0", ContainerSettings(match_user=False))["HostConfig"]
    assert host["CapAdd"] == ["NET_RAW", "CHOWN", "DAC_OVERRIDE", "FOWNER"]


def frame(stream: int, contents: bytes) -> bytes:
    return struct.pack(">BxxxL", stream, len(contents)) + contents


@pytest.mark.parametrize("seed", range(20))
def test_frames_may_come_in_any_pieces(seed):
    chance = random.Random(seed)
    frames = [(chance.choice([1, 2]), chance.randbytes(chance.choice([0, 1, 7, 8, 9, 100]))) for _ in range(30)]
    wire = b"".join(itertools.starmap(frame, frames))
    out, err = io.BytesIO(), io.BytesIO()
    taken = Demultiplexer({1: out, 2: err})
    while wire:
        size = chance.randint(1, 20)
        taken.feed(memoryview(wire[:size]))
        wire = wire[size:]
    assert out.getvalue() == b"".join(contents for stream, contents in frames if stream == 1)
    assert err.getvalue() == b"".join(contents for stream, contents in frames if stream == 2)
    assert taken.between_frames


@pytest.mark.parametrize("missing", [1, 3, 6])
def test_an_end_in_the_middle_is_seen(missing):
    taken = Demultiplexer({1: io.BytesIO(), 2: io.BytesIO()})
    taken.feed(memoryview(frame(1, b"abc")[:-missing]))
    assert not taken.between_frames


def test_what_is_no_frame_is_refused():
    with pytest.raises(EngineError, match="stream 72"):
        Demultiplexer({1: io.BytesIO()}).feed(memoryview(b"HTTP/1.1 500"))


def test_once_is_once_and_all_get_the_answer():
    made, go = [], threading.Event()

    def make() -> str:
        go.wait(10)
        made.append(1)
        return "answer"

    once = Once()
    with ThreadPoolExecutor(4) as pool:
        answers = [pool.submit(once.get, "key", make) for _ in range(4)]
        go.set()
        assert {answer.result() for answer in answers} == {"answer"}
    assert made == [1]


def test_a_failure_is_everybodys_and_is_tried_again():
    once = Once()

    def fail() -> str:
        raise EngineError("no")

    with pytest.raises(EngineError):
        once.get("key", fail)
    assert once.get("key", lambda: "yes") == "yes"


def test_an_archive_may_be_a_path_a_file_url_or_on_the_web(tmp_path):
    path = tmp_path / "an image.tar"
    path.write_bytes(b"bytes")

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self):
            self.send_response(200 if self.path == "/i.tar" else 404)
            self.end_headers()
            self.wfile.write(b"bytes")

        def log_message(self, *_):
            pass

    server = HTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        base = f"http://127.0.0.1:{server.server_port}"
        for location in (str(path), path.as_uri(), f"{base}/i.tar"):
            with open_archive(location) as archive:
                assert archive.read() == b"bytes"
        with pytest.raises(EngineError, match=r"other\.tar cannot be read: Not Found"):
            open_archive(f"{base}/other.tar")
    finally:
        server.shutdown()
        server.server_close()
