"""A kernel's relay and its node in one process, with a connection between them that can be cut."""

from __future__ import annotations

import asyncio
import contextlib
import json
import secrets
import ssl
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import pytest
from jupyter_client.asynchronous import AsyncKernelClient

from gridcwl.backends.nodes import NODE_CERTIFICATE, NODE_KEY, write_certificate
from gridcwl.jupyter.kernels import model, relay
from gridcwl.jupyter.kernels.model import KernelRequest, Record
from gridcwl.worker import kernel_node, streams
from gridcwl.worker.kernel_process import short_folder

PATIENCE_S = 120
pytestmark = pytest.mark.timeout(300)


class Wire:
    """What the node connects to: passes bytes to the relay, until it is cut; may take no connections meanwhile."""

    def __init__(self, port: int) -> None:
        self._port = port
        self._open: list[asyncio.StreamWriter] = []
        self.passed, self.cut_after, self.cuts = 0, float("inf"), 0
        self.works = True

    async def accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if not self.works:
            writer.close()
            return
        far_reader, far_writer = await asyncio.open_connection("127.0.0.1", self._port)
        self._open += [writer, far_writer]
        await asyncio.gather(self._pass(reader, far_writer), self._pass(far_reader, writer))

    async def _pass(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(OSError):
            while data := await reader.read(1 << 16):
                self.passed += len(data)
                if self.passed > self.cut_after:
                    self.cut()
                    return
                writer.write(data)
                await writer.drain()
        writer.close()

    def cut(self) -> None:
        for writer in self._open:
            writer.transport.abort()
        self._open, self.passed, self.cuts = [], 0, self.cuts + 1


class RelayHere(relay.Relay):
    """A relay whose node is a task of this process, in place of a job."""

    wire: Wire
    nodes: list[asyncio.Task[bool]]

    async def _placed(self, action: str, *words: str) -> dict[str, Any]:
        if action == "start":
            self.wire = Wire(int(words[0]))
            self.nodes = [*getattr(self, "nodes", []), asyncio.ensure_future(self.node())]
            return {"node": f"job-{len(self.nodes)}"}
        return {"ended": "The node has ended" if self.nodes[-1].done() else None}

    async def node(self) -> bool:
        listening = await asyncio.start_server(self.wire.accept, "127.0.0.1", 0)
        folder = self._record.folder
        about = {
            "host": "127.0.0.1", "port": listening.sockets[0].getsockname()[1], "sites": {}, "time_s": 3600,
            "folder": str(folder / f"node-{secrets.token_hex(2)}"), "grace_s": self._record.request.lost_s,
        }  # fmt: skip
        async with listening:
            return await kernel_node.KernelNode(about, client_tls(folder)).serve()

    async def ask(self, what: str) -> dict[str, Any]:
        return await self._done({"do": what, "environment": {}, "inputs": []})

    async def until(self, condition: Callable[[], bool]) -> None:
        async with asyncio.timeout(PATIENCE_S):
            while not condition():  # noqa: ASYNC110  of several objects
                await asyncio.sleep(0.02)


def client_tls(folder: Path) -> ssl.SSLContext:
    tls = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    tls.check_hostname = False
    tls.load_verify_locations(folder / NODE_CERTIFICATE)
    tls.load_cert_chain(folder / NODE_CERTIFICATE, folder / NODE_KEY)
    return tls


@pytest.fixture(autouse=True)
def own_state(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GRIDCWL_STATE_DIR", str(tmp_path / "state"))
    monkeypatch.setenv("IPYTHONDIR", str(tmp_path / "ipython"))
    monkeypatch.setattr(kernel_node, "_PAUSES_S", (0.02, 0.1))


@contextlib.asynccontextmanager
async def relayed(**request: Any) -> AsyncIterator[RelayHere]:
    record = Record(
        id=secrets.token_hex(4), name="x", title="x", request=KernelRequest(**request), notebook="x.ipynb",
        sockets=short_folder(), key=secrets.token_hex(16), signature_scheme="hmac-sha256",
    )  # fmt: skip
    record.folder.mkdir(parents=True, mode=0o700)
    write_certificate(record.folder / NODE_CERTIFICATE, record.folder / NODE_KEY)
    served = RelayHere(model.save(record))
    serving = asyncio.ensure_future(served.serve())
    await served.until(lambda: served._port != 0)
    try:
        yield served
    finally:
        served._over.set()
        await serving
        await asyncio.gather(*getattr(served, "nodes", []))


@contextlib.asynccontextmanager
async def client_of(served: RelayHere) -> AsyncIterator[AsyncKernelClient]:
    client = AsyncKernelClient()
    client.load_connection_info(served._record.connection_info())
    client.start_channels()
    try:
        await client.wait_for_ready(timeout=PATIENCE_S)
        yield client
    finally:
        client.stop_channels()


async def printed(client: AsyncKernelClient, code: str) -> str:
    found: list[str] = []

    def show(message: Any) -> None:
        if message["msg_type"] == "stream":
            found.append(message["content"]["text"])

    await client.execute_interactive(code, output_hook=show, timeout=PATIENCE_S)
    return "".join(found)


def test_no_output_is_lost_or_doubled_when_the_connection_is_cut_again_and_again() -> None:
    async def run() -> tuple[str, int]:
        async with relayed() as served:
            assert (await served.ask("start"))["kernel"] == "running"
            async with client_of(served) as client:
                served.wire.cut_after = 400_000
                text = await printed(client, "for n in range(3000): print(n, 'x' * 1000)")
                return text, served.wire.cuts

    text, cuts = asyncio.run(run())
    assert text == "".join(f"{n} {'x' * 1000}\n" for n in range(3000))
    assert cuts >= 5


def test_a_kernel_works_on_while_the_connection_is_lost_and_an_interrupt_waits_for_it() -> None:
    async def run() -> tuple[str, str]:
        async with relayed() as served:
            await served.ask("start")
            async with client_of(served) as client:
                served.wire.works = False
                served.wire.cut()
                await served.until(lambda: not served._is_connected())
                asked = asyncio.ensure_future(printed(client, "x = 1; print('worked')"))
                state = await served.ask("state")
                served.wire.works = True
                return f"{state['kernel']}, {state['node']}", await asked

    assert asyncio.run(run()) == ("running, lost", "worked\n")


def test_a_node_that_is_lost_for_too_long_is_given_up_and_ends_by_itself() -> None:
    async def run() -> dict[str, Any]:
        async with relayed(lost_s=3) as served:
            await served.ask("start")
            served.wire.works = False
            served.wire.cut()
            await served.until(lambda: served._kernel == "ended")
            assert await asyncio.wait_for(served.nodes[0], PATIENCE_S)
            lost = await served.ask("state")
            again = await served.ask("start")
            assert (again["kernel"], len(served.nodes)) == ("running", 2)
            return lost

    lost = asyncio.run(run())
    assert (lost["kernel"], lost["reason"]) == ("ended", "The connection to its node was lost for 3 s.")


def test_a_kernel_that_works_is_not_idle_and_one_that_does_not_ends_its_job() -> None:
    async def run() -> tuple[str, str]:
        async with relayed(idle_s=4) as served:
            await served.ask("start")
            async with client_of(served) as client:
                text = await printed(client, "import time; time.sleep(6); print('done')")
                await served.until(lambda: served._kernel == "ended")
                assert await asyncio.wait_for(served.nodes[0], PATIENCE_S)
                return text, served._reason

    assert asyncio.run(run()) == ("done\n", "The kernel was idle for 4 s.")


def test_who_has_no_certificate_of_the_kernel_or_is_not_its_node_is_refused() -> None:
    async def run() -> None:
        async with relayed() as served:
            await served.ask("start")
            nobody = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
            nobody.check_hostname, nobody.verify_mode = False, ssl.CERT_NONE
            with pytest.raises((OSError, EOFError)):
                await said(served._port, nobody, {"node": "x", "received": 0})
            tls = client_tls(served._record.folder)
            for hello in ({"node": "other", "received": 0}, {"node": served._node, "received": 99_999}, {}, [], "x"):
                answer = await said(served._port, tls, hello)
                assert "received" not in answer
            await served.until(lambda: served._kernel == "ended")  # the one that claimed to be the node

    asyncio.run(run())


async def said(port: int, tls: ssl.SSLContext, hello: Any) -> str:
    """What the relay answers to somebody who connects as a node."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port, ssl=tls)
    with contextlib.closing(writer):
        writer.write(json.dumps(hello).encode() + b"\n")
        line = await reader.readline()
        if not line and tls.verify_mode == ssl.CERT_NONE:
            raise EOFError
        return line.decode()


@pytest.mark.parametrize(
    "frame",
    [
        streams.HEAD.pack(streams.OPEN, 1, 1) + b"\1",
        streams.HEAD.pack(streams.DATA, 9, 1) + b"x",
        streams.HEAD.pack(streams.MESSAGE, 0, 1 << 30),
    ],
)
def test_a_node_that_does_what_it_may_not_is_given_up(frame: bytes, monkeypatch: pytest.MonkeyPatch) -> None:
    async def hostile(served: RelayHere) -> bool:
        reader, writer = await asyncio.open_connection(
            "127.0.0.1", served.wire._port, ssl=client_tls(served._record.folder)
        )
        with contextlib.closing(writer):
            writer.write(json.dumps({"node": "evil", "received": 0}).encode() + b"\n")
            await reader.readline()
            writer.write(frame)
            return not await reader.read(1 << 20) or True

    async def run() -> dict[str, Any]:
        monkeypatch.setattr(RelayHere, "node", hostile)
        async with relayed() as served:
            return await served.ask("start")

    state = asyncio.run(run())
    assert state["kernel"] == "ended"
    assert state["reason"].startswith("The node broke the protocol")
