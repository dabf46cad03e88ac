"""Nodes: jobs that connect outwards, by TLS, to a process on the user's machine; for warm pools and Jupyter kernels.

The two know each other by a certificate that is made for them. It reaches the node in the input sandbox, which a batch
system gives to the user's own jobs only; the node removes the private key before it runs anything.
"""

from __future__ import annotations

import datetime
import json
import os
import shutil
import socket
import ssl
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol, TypeAlias

from gridcwl import imports
from gridcwl.worker.zipapp import NAME as WORKER
from gridcwl.worker.zipapp import worker_zipapp

START = "gridcwl-start.sh"
NODE_CERTIFICATE, NODE_KEY = "node-cert.pem", "node-key.pem"
_VALID = datetime.timedelta(days=365)
_ELSEWHERE = "192.0.2.1"
"""An address of RFC 5737, which nobody has; nothing is sent there."""


@dataclass(frozen=True, slots=True)
class NodeRequest:
    """A node to be started."""

    group: str
    """Of its job: unique for what it serves."""
    files: tuple[Path, ...]
    """Of its sandbox."""
    cores: int = 1
    ram_mib: int = 2048
    time_s: int = 8 * 3600
    site: str = ""
    prefix: str = "node-"
    """How the names of such jobs begin."""


class NodeHost(Protocol):
    """Where nodes are started: what the function ``open_nodes`` of a backend's module gives."""

    def start(self, request: NodeRequest) -> str:
        """Start a node; returns its id.

        Raises:
            BackendError: it is not accepted, or the place does not answer.
        """

    def ended(self, node: str) -> str | None:
        """Why a node has ended, in a sentence; None while it waits or runs.

        Raises:
            BackendError: the place does not answer.
        """

    def end(self, node: str) -> None:
        """End a node, whether it waits or runs.

        Raises:
            BackendError: the place does not answer.
        """


class PoolHost(Protocol):
    """Where the nodes of warm pools are started: what the function ``open_pool_nodes`` of a backend's module gives."""

    @property
    def kind(self) -> str:
        """What its jobs are called, for messages: "DIRAC jobs"."""

    def check(self) -> None:
        """See that jobs can be submitted.

        Raises:
            BackendError: there is no valid credential, or the place does not answer.
        """

    def start_all(self, request: NodeRequest, first: int, count: int) -> Sequence[str]:
        """Start several nodes, of which the first has this number in its job's name; returns their ids.

        Raises:
            BackendError: they are not accepted, or the place does not answer.
        """

    def end_all(self, nodes: Sequence[str]) -> None:
        """End nodes, whether they wait or run.

        Raises:
            BackendError: the place does not answer.
        """


@dataclass(frozen=True, slots=True)
class PoolRequest:
    """A warm pool to be started."""

    name: str
    backend: str
    """Whose jobs its nodes are."""
    nodes: int = 1
    cores: int = 1
    """Of each node."""
    ram_mib: int = 2048
    site: str = ""
    """Where the nodes run; empty: anywhere."""
    image: str = ""
    """The container that the nodes run in; empty: with the site's own Python."""
    time_s: int = 8 * 3600
    """CPU time of each job that holds a node."""
    idle_s: int = 1800
    """The pool ends when nothing ran for so long."""
    host: str = ""
    """The name or address by which sites reach this machine; empty: as its routes have it."""


@dataclass(frozen=True, slots=True)
class WarmPool:
    """A warm pool, as it is recorded."""

    name: str
    backend: str
    kind: str
    """What the jobs are called that hold its nodes."""
    jobs: int
    """How many were submitted."""
    cores: int
    site: str
    image: str
    address: str
    """``HOST:PORT``, to which its nodes connect."""
    is_alive: bool = True


PoolHosts: TypeAlias = Callable[[str], AbstractContextManager[PoolHost]]
"""The host of a backend's name; raises ConfigError where it cannot be used, with what to do."""


class WarmPools(Protocol):
    """The warm pools of a user: what the function ``pools`` of a backend's module gives."""

    def start(self, request: PoolRequest, hosts: PoolHosts) -> WarmPool:
        """Start a pool, whose nodes are submitted; it outlives this process.

        Raises:
            ConfigError: the name is taken, or is none.
            BackendError: it does not start, or the host does not accept its nodes: nothing is left then.
        """

    def all(self) -> Sequence[WarmPool]:
        """All pools."""

    def connected(self, name: str) -> int:
        """How many nodes are connected now.

        Raises:
            ConfigError: there is no such pool.
            BackendError: it has ended, or does not answer.
        """

    def add(self, name: str, nodes: int, hosts: PoolHosts) -> WarmPool:
        """Submit more nodes; raises as :meth:`connected`."""

    def retire(self, name: str, nodes: int) -> None:
        """Let so many nodes end, the idle ones first; raises as :meth:`connected`."""

    def end(self, name: str, hosts: PoolHosts) -> None:
        """End a pool, with all that runs there.

        Raises:
            ConfigError: there is no such pool.
            BackendError: the host does not answer.
        """


def private(path: Path, content: bytes) -> None:
    """Write a file that only its owner may read, from its first byte on."""
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "wb") as file:
        file.write(content)


def write_certificate(certificate: Path, key: Path) -> None:
    """Make a certificate that signs itself, for those that are to know each other by it."""
    imports.load("cryptography")
    from cryptography import x509
    from cryptography.hazmat.primitives import hashes, serialization
    from cryptography.hazmat.primitives.asymmetric import ec

    secret = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "gridcwl")])
    now = datetime.datetime.now(datetime.UTC)
    made = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(secret.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - datetime.timedelta(days=1))  # the clocks of sites differ
        .not_valid_after(now + _VALID)
        .add_extension(x509.SubjectAlternativeName([x509.DNSName("gridcwl")]), critical=False)
        .sign(secret, hashes.SHA256())
    )
    pem = serialization.Encoding.PEM
    plain = serialization.NoEncryption()
    private(certificate, made.public_bytes(pem))
    private(key, secret.private_bytes(pem, serialization.PrivateFormat.PKCS8, plain))


def server_tls(folder: Path) -> ssl.SSLContext:
    """TLS of the side that nodes connect to, with the certificate of this folder: whoever has another is refused."""
    tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    tls.load_cert_chain(folder / NODE_CERTIFICATE, folder / NODE_KEY)
    tls.load_verify_locations(folder / NODE_CERTIFICATE)
    tls.verify_mode = ssl.CERT_REQUIRED
    return tls


def listening_socket(address: str, port: int) -> socket.socket:
    """A socket that listens at this address, or at all of IPv4 and IPv6 by one port."""
    if address:
        family = socket.getaddrinfo(address, port, type=socket.SOCK_STREAM)[0][0]
        return socket.create_server((address, port), family=family)
    if socket.has_dualstack_ipv6():
        return socket.create_server(("", port), family=socket.AF_INET6, dualstack_ipv6=True)
    return socket.create_server(("", port))


def own_address() -> str:
    """The address of this machine by which others reach it, as its routes have it."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        try:
            probe.connect((_ELSEWHERE, 9))
        except OSError:  # no network
            return socket.gethostname()
        return str(probe.getsockname()[0])


def sandbox_files(folder: Path, certificates: Path, module: str, settings: str, about: Mapping[str, Any]) -> list[Path]:
    """Write the input sandbox of nodes: the start script, the worker, settings, certificate and key.

    Args:
        folder: where the files are written; it is the caller's.
        certificates: the folder with the certificate and its key.
        module: of the worker, which a node runs.
        settings: the name of the file with the settings, which the module gets.
        about: the settings.
    """
    files = [folder / name for name in (START, WORKER, settings, NODE_CERTIFICATE, NODE_KEY)]
    script = Path(__file__).with_name("node.sh").read_text("utf-8")
    files[0].write_text(script.replace("@MODULE@", module).replace("@SETTINGS@", settings), "utf-8")
    files[0].chmod(0o755)
    shutil.copyfile(worker_zipapp(), files[1])
    known = {"certificate": NODE_CERTIFICATE, "key": NODE_KEY}
    files[2].write_text(json.dumps({**about, **known}), "utf-8")
    for path in files[3:]:
        private(path, (certificates / path.name).read_bytes())
    return files
