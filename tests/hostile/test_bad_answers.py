"""Whatever a server answers: one error that says what happened and what to do, the right exit code, no traceback."""

from __future__ import annotations

import inspect
import json
import os
import re
import ssl
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
from commandline import CommandResult, gridcwl
from documents import Desk, expression

from gridcwl.backends.dirac.problems import DiracCredential, DiracRefused, DiracUnreachable, problem
from gridcwl.cli.logs import set_up_logging
from gridcwl.config import Config, load
from gridcwl.errors import ConfigError, GridCWLError
from gridcwl.plugins import declared
from gridcwl.remote import following
from gridcwl.settings import fields_of
from gridcwl.stores.rucio.client import RucioProblem, explained
from gridcwl.testbed.pki import Authority
from gridcwl.testbed.place import InstallFolder
from gridcwl.worker.failure import SourceUnavailable
from gridcwl.worker.storage import Known, way_to

_PYTHON = re.compile(
    r"Traceback|internal error|\b(Key|Type|Value|Attribute|Index|Unicode\w*|JSONDecode|Recursion|Overflow)Error\b|"
    r"NoneType|<\w+(\.\w+)+ |object at 0x|Errno|\bMax retries\b|HTTPConnectionPool"
)
"""What is no word for people."""


def one_error(result: CommandResult, code: int = 1) -> None:
    """It failed, with one sentence on what happened and one on what to do."""
    assert result.code == code, (result.stdout, result.stderr)
    assert not _PYTHON.findall(result.stderr), result.stderr
    told, *remedy = result.stderr.strip().splitlines()
    assert told.startswith("gridcwl: "), result.stderr
    assert remedy, result.stderr
    assert len(result.stderr) < 2000


def error_for_people(error: GridCWLError) -> None:
    """As :func:`one_error`, of an error that is raised."""
    assert error.message
    assert error.remedy, error.message
    assert not _PYTHON.findall(str(error)), error
    assert len(str(error)) < 2000
    assert "\n" not in error.message


# -- a service of gridcwl ----------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Answer:
    """What a server says to every request."""

    body: bytes = b""
    status: int = 200
    headers: dict[str, str] = field(default_factory=dict)
    length: int | None = None
    """What it says of its body's length; None: the truth."""
    raw: bytes | None = None
    """Instead of all that: these bytes, and the connection is closed."""


class Server(ThreadingHTTPServer):
    daemon_threads = True
    answer = Answer()


class Handler(BaseHTTPRequestHandler):
    server: Server

    def _any(self) -> None:
        answer = self.server.answer
        self.rfile.read(int(self.headers.get("Content-Length") or 0))
        self.close_connection = True
        if answer.raw is not None:
            self.wfile.write(answer.raw)
            return
        self.send_response(answer.status)
        for name, value in ({"Content-Type": "application/json"} | answer.headers).items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(answer.body) if answer.length is None else answer.length))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(answer.body)

    do_GET = do_HEAD = do_POST = do_PUT = do_DELETE = do_PROPFIND = do_MKCOL = do_MOVE = _any  # noqa: N815

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture(scope="module")
def server() -> Iterator[Server]:
    made = Server(("127.0.0.1", 0), Handler)
    threading.Thread(target=made.serve_forever, args=(0.05,), daemon=True).start()
    yield made
    made.shutdown()
    made.server_close()


@pytest.fixture
def desk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Desk:
    monkeypatch.chdir(tmp_path)
    for name in ("BEARER_TOKEN", "BEARER_TOKEN_FILE", "GRIDCWL_ENGINE"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr(following, "_LOOK_EVERY_S", 0.0)
    monkeypatch.setattr(following, "_TRIES", 1)
    Path("twice.cwl").write_text(json.dumps(expression("${ return {n: 2}; }", {}, {"n": "int"})))
    return Desk(tmp_path)


def said(value: object) -> Answer:
    return Answer(json.dumps(value).encode())


RUN = {"run": "20260101-000000-abcdef", "run_id": "x", "name": "x", "state": "RUNNING"}
HTML = b"<!DOCTYPE html><html><head><title>Welcome</title></head><body><h1>It works!</h1></body></html>"
FIELDS = ("runs", "logs", "productions", "state", "keys", "credentials", "schedules", "user", "answers", "items")
ANSWERS = {
    "no JSON": Answer(b"it works"),
    "nothing": Answer(b""),
    "a part of JSON": Answer(b'{"runs": [{"run": "2026'),
    "JSON and more": Answer(b'{"runs": []} {"runs": []}'),
    "JSON in UTF-16": Answer('{"runs": 7}'.encode("utf-16")),
    "what is not UTF-8": Answer(b'{"runs": "\xff\xfe"}'),
    "a page": Answer(HTML, headers={"Content-Type": "text/html"}),
    "a list": said([]),
    "a list of lists": said([[[]]]),
    "a number": said(7),
    "a text": said("runs"),
    "null": said(None),
    "a very deep list": Answer(b"[" * 100_000),
    "a very deep object": Answer(b'{"runs":' * 5000 + b"1" + b"}" * 5000),
    "an object of nothing": said({}),
    "an object of other things": said({"message": "hello", "status": "ok"}),
    "other types": said(dict.fromkeys(FIELDS, 5)),
    "nulls": said({**dict.fromkeys(FIELDS), "productions": [None]}),
    "lists of numbers": said({name: [1] for name in FIELDS}),
    "lists of empty objects": said({name: [{}] for name in FIELDS}),
    "a run without a name": said(
        {
            "runs": [{"run": "x"}],
            "logs": [{"name": "x"}],
            "keys": [{"id": 1}],
            "credentials": [{"kind": "x"}],
            "schedules": [{"name": "x"}],
            "productions": [{"name": "x"}],
            "answers": [{"name": "x"}],
            "items": [{"archive": "x"}],
        }
    ),
    "a run in a state that there is not": said({"runs": [RUN], "logs": [{}], "state": "LOST", "run_id": 7}),
    "a body that breaks off": Answer(b'{"runs": []}', length=5000),
    "a body that is not packed as it says": Answer(b'{"runs": []}', headers={"Content-Encoding": "gzip"}),
    "no HTTP": Answer(raw=b"SSH-2.0-OpenSSH_9.2\r\n"),
    "a status that is no number": Answer(raw=b"HTTP/1.1 fine OK\r\n\r\n"),
    "an end without an answer": Answer(raw=b""),
    "headers that break off": Answer(raw=b"HTTP/1.1 200 OK\r\nContent-Length: 12\r\nConte"),
    "a redirection to itself": Answer(status=302, headers={"Location": "/"}),
    "a redirection elsewhere": Answer(status=301, headers={"Location": "https://elsewhere.example/"}),
    "a redirection to nowhere": Answer(status=307),
    **{
        f"{status} with a reason": Answer(b'{"msg": "this is why", "status_code": 1}', status)
        for status in (400, 401, 403, 404, 405, 409, 410, 413, 415, 418, 422, 429, 500, 501, 502, 503, 504, 507)
    },
    **{f"{status} with a page": Answer(HTML, status) for status in (400, 401, 403, 404, 500, 502, 503)},
    "a refusal whose reason is an object": Answer(b'{"msg": {"a": [1]}}', 500),
    "a refusal without end": Answer(json.dumps({"msg": "no " * 100_000}).encode(), 500),
    "a refusal in many lines": Answer(json.dumps({"msg": "first\nsecond\n\x1b[31mthird"}).encode(), 400),
    "a refusal that breaks off": Answer(b'{"msg": "thi', 500, length=5000),
}
COMMANDS = {
    "runs": ("runs",),
    "status": ("status", "last"),
    "logs": ("logs", "last"),
    "report": ("report", "last", "-o", "-"),
    "cancel": ("cancel", "last"),
    "resume": ("resume", "last"),
    "attach": ("attach", "last"),
    "whoami": ("whoami",),
    "keys": ("keys", "ls"),
    "credentials": ("credentials", "ls"),
    "schedules": ("schedule", "list"),
    "productions": ("production", "status"),
    "explain": ("explain", "last", "step"),
    "baskets": ("basket", "list"),
    "usage": ("usage",),
    "data": ("data", "last"),
    "sites": ("sites",),
}


@pytest.mark.usefixtures("desk")
@pytest.mark.parametrize("command", COMMANDS)
@pytest.mark.parametrize("answer", ANSWERS)
def test_whatever_a_service_answers_is_one_error_with_a_remedy(server: Server, answer: str, command: str) -> None:
    set_up_logging(0)  # as after a run in the same process: what libraries log is seen
    server.answer = ANSWERS[answer]
    result = gridcwl(*COMMANDS[command], "--server", f"http://127.0.0.1:{server.server_port}")
    if command == "report" and result.code == 0:  # any text may be a report, once the run was found
        assert result.stdout == server.answer.body.decode()
        return
    one_error(result)


@pytest.mark.usefixtures("desk")
@pytest.mark.parametrize(
    ("words", "part"),
    [
        (("runs",), "server_runs.wanted_runs"),
        (("attach", "last"), "server_runs._watcher"),
        (("rm", "last"), "server_runs.check_removal"),
        (("basket", "list"), "server_baskets._source"),
        (("basket", "list"), "server_baskets.token_of"),
        (("keys", "ls"), "accounts.Connection"),
        (("schedule", "show", "x"), "server_schedules.quote"),
        (("production", "status", "x"), "server_productions.quote"),
    ],
)
def test_a_mistake_of_gridcwl_s_own_is_not_said_to_be_the_service_s(
    server: Server, words: tuple[str, ...], part: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(*_: object, **__: object) -> None:
        raise TypeError("our own")

    server.answer = said({"runs": [RUN]})
    monkeypatch.setattr(f"gridcwl.cli.{part}", broken)
    result = gridcwl(*words, "--server", f"http://127.0.0.1:{server.server_port}")
    assert "internal error: TypeError: our own" in result.stderr
    assert "service" not in result.stderr


@pytest.mark.node
@pytest.mark.usefixtures("desk")
@pytest.mark.parametrize("answer", ["no JSON", "a list", "an object of nothing", "a page", "503 with a page"])
def test_whatever_a_service_answers_to_a_run_is_one_error_with_a_remedy(server: Server, answer: str) -> None:
    server.answer = ANSWERS[answer]
    one_error(gridcwl("--server", f"http://127.0.0.1:{server.server_port}", "twice.cwl"))


# -- certificates ------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    return Authority(InstallFolder(tmp_path_factory.mktemp("ca") / "box"))


@pytest.fixture(params=["expired", "unknown", "of another host", "none"])
def refused_tls(request: pytest.FixtureRequest, authority: Authority, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """The address of a server whose certificate nobody must believe, or that speaks no TLS."""
    if request.param != "unknown":
        for name in ("REQUESTS_CA_BUNDLE", "SSL_CERT_FILE"):
            monkeypatch.setenv(name, str(authority.ca_certificate))
    made = Server(("127.0.0.1", 0), Handler)
    made.handle_error = lambda *_: None  # type: ignore[method-assign]  # the client hangs up
    if request.param != "none":
        life = timedelta(hours=-1) if request.param == "expired" else timedelta(hours=1)
        files = authority.certificate(
            request.param.replace(" ", "-"), "localhost", life, host=request.param != "of another host"
        )
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(files.certificate, files.key)
        made.socket = context.wrap_socket(made.socket, server_side=True, do_handshake_on_connect=False)
    threading.Thread(target=made.serve_forever, args=(0.05,), daemon=True).start()
    yield f"https://localhost:{made.server_port}"
    made.shutdown()
    made.server_close()


@pytest.mark.usefixtures("desk")
def test_a_service_whose_certificate_is_not_good_gets_no_request(refused_tls: str) -> None:
    result = gridcwl("runs", "--server", refused_tls)
    one_error(result)
    assert "does not answer" in result.stderr


def test_a_storage_element_whose_certificate_is_not_good_gets_no_request(refused_tls: str, tmp_path: Path) -> None:
    with pytest.raises(SourceUnavailable) as caught:
        way_to(f"{refused_tls}/x").get(f"{refused_tls}/x", str(tmp_path / "x"), check)
    assert not _PYTHON.findall(str(caught.value)), caught.value


# -- DIRAC -------------------------------------------------------------------------------------------------------------


def _dirac_codes() -> dict[str, str]:
    errors = pytest.importorskip("DIRAC.Core.Utilities.DErrno")
    codes = {name: code for name, code in vars(errors).items() if re.fullmatch(r"E[A-Z0-9_]+", name)}
    return {name: f"{errors.strerror(code)} ( {code} : the details)" for name, code in codes.items()}


MESSAGES = {
    "a page": HTML.decode(),
    "nothing": "",
    "a whole traceback": 'Traceback (most recent call last):\n  File "x.py", line 1\nKeyError: 1',
    "a database": "MySQL Error ( 1131 : Execution failed.: ( 1213: Deadlock found when trying to get lock ) )",
    "without end": "no " * 100_000,
    "in many lines": "one\ntwo\r\nthree",
}


def test_each_error_code_of_dirac_is_an_error_with_a_remedy() -> None:
    codes = _dirac_codes()
    assert len(codes) > 50
    for text in [*codes.values(), *MESSAGES.values()]:
        error = problem("submitting jobs", text.replace("Traceback", "trace").replace("KeyError", "key"))
        error_for_people(error)
        assert error.exit_code == 1
        assert isinstance(error, DiracCredential | DiracRefused | DiracUnreachable)


@pytest.mark.parametrize(
    ("text", "kind"),
    [
        ("Can't find proxy ( 1101 : )", DiracCredential),
        ("Pem file is not valid: has expired", DiracCredential),
        ("HTTP 503 Service Unavailable", DiracUnreachable),
        ("Connection reset by peer", DiracUnreachable),
        ("Unauthorized query ( 1111 : )", DiracRefused),
        ("Cannot get URL for service", DiracRefused),
        ("Job Description Error: 1501", DiracRefused),
    ],
)
def test_what_can_be_done_about_an_error_of_dirac_is_known_by_its_kind(text: str, kind: type) -> None:
    error = problem("asking for states", text)
    assert type(error) is kind
    error_for_people(error)


# -- Rucio -------------------------------------------------------------------------------------------------------------


def test_each_error_of_rucio_is_an_error_with_a_remedy() -> None:
    exceptions = pytest.importorskip("rucio.common.exception")
    kinds = [kind for _, kind in inspect.getmembers(exceptions, inspect.isclass) if issubclass(kind, Exception)]
    assert len(kinds) > 100
    for kind in kinds:
        error = kind.__new__(kind)
        Exception.__init__(error, "the server's words")
        error._message, error.args, error.kwargs = "the server's words", ("the server's words",), {}
        found = explained(error, "add_replicas")
        assert isinstance(found, RucioProblem)
        error_for_people(found)
        assert found.kind == kind.__name__


# -- storage elements --------------------------------------------------------------------------------------------------

DATA = b"the bytes of a file\n" * 10
STORAGE = {
    **{f"HTTP {status}": Answer(HTML, status) for status in (400, 401, 403, 404, 405, 409, 410, 412, 416, 423, 429)},
    **{f"HTTP {status}": Answer(HTML, status) for status in (500, 501, 502, 503, 504, 507, 511, 599)},
    "a redirection to itself": Answer(status=302, headers={"Location": "/x"}),
    "a redirection to another kind of place": Answer(status=302, headers={"Location": "file:///etc/passwd"}),
    "a redirection to no URL": Answer(status=302, headers={"Location": "http://[::1"}),
    "a body that breaks off": Answer(DATA[:50], length=len(DATA)),
    "no HTTP": Answer(raw=b"220 ftp.example ready\r\n"),
    "an end without an answer": Answer(raw=b""),
    "a status that is no number": Answer(raw=b"HTTP/1.1 fine OK\r\n\r\n"),
    "a header without end": Answer(raw=b"HTTP/1.1 200 OK\r\nX: " + b"x" * 200_000 + b"\r\n\r\n"),
    "very many headers": Answer(raw=b"HTTP/1.1 200 OK\r\n" + b"X: y\r\n" * 2000 + b"\r\n"),
}


def check() -> None:
    """Nothing stops a transfer."""


@pytest.mark.parametrize(
    ("what", "answer"),
    [
        (what, answer)
        for what in ("get", "first", "put", "rename")
        for answer in STORAGE
        if what == "get" or answer != "a body that breaks off"  # of the others no body counts
    ],
)
def test_whatever_a_storage_element_answers_is_a_reason_to_try_another(
    server: Server, tmp_path: Path, what: str, answer: str
) -> None:
    server.answer = STORAGE[answer]
    url = f"http://127.0.0.1:{server.server_port}/x?authz=secret"
    way = way_to(url)
    (tmp_path / "source").write_bytes(DATA)

    def act() -> object:
        if what == "get":
            return way.get(url, str(tmp_path / "target"), check)
        if what == "first":
            return way.first(url, len(DATA))
        if what == "put":
            return way.put(str(tmp_path / "source"), url, check)
        return way.rename(url, f"{url}.new")

    with pytest.raises(SourceUnavailable) as caught:
        act()
    assert f"127.0.0.1:{server.server_port}" in str(caught.value)
    assert "secret" not in str(caught.value)
    assert not _PYTHON.findall(str(caught.value)), caught.value
    assert len(str(caught.value)) < 1000


@pytest.mark.parametrize("body", [b"", HTML, DATA[:-1], DATA + b"x", DATA.upper(), b"\0" * len(DATA)])
def test_a_storage_element_that_answers_200_and_lies_is_found_out(server: Server, tmp_path: Path, body: bytes) -> None:
    import zlib

    server.answer = Answer(body)
    url = f"http://127.0.0.1:{server.server_port}/x"
    got = way_to(url).get(url, str(tmp_path / "target"), check)
    assert Known(len(DATA), f"{zlib.adler32(DATA):08x}").mismatch(got)


# -- the configuration file --------------------------------------------------------------------------------------------

VALUES = ["[[1]]", "-1", "0.5e400", '"\\u0000"', "{a = 1}", "1979-05-27", "[{}]", '""']
BROKEN = [
    "max_jobs", "max_jobs =", "max_jobs = 1 1", "[", "[dirac", "= 1", "max_jobs = 1\nmax_jobs = 2", '"', "a.b.c = ",
    "max_jbos = 1", "[dirca]\npack = 2", "[dirac]\npakc = 2", "[dirac]\npack = 0", "[dirac]\nlongest_pause = -1",
    "[rucio]\nrse = 1", "[rucio]\nnothing = 1", "dirac = 1", "rucio = []", "engine = 'rocket'", "max_jobs = true",
    "\ufeffmax_jobs = 'x'", "max_jobs = \x00",
]  # fmt: skip


def refused(text: str | bytes, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The file is refused before anything is done, with its name."""
    file = folder / "config.toml"
    file.write_bytes(text if isinstance(text, bytes) else text.encode())
    monkeypatch.setenv("GRIDCWL_CONFIG", str(file))
    with pytest.raises(ConfigError) as caught:
        load(os.environ, declared())
    assert "config.toml" in str(caught.value)
    assert not _PYTHON.findall(str(caught.value)), caught.value


@pytest.mark.parametrize("text", [*BROKEN, b"\xff\xfe", b"max_jobs = '\xe9'"])
def test_a_broken_configuration_file_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, text: str | bytes
) -> None:
    refused(text, tmp_path, monkeypatch)


def test_no_setting_takes_what_is_of_another_type(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    tried = 0
    for name in (setting.key for setting in fields_of(Config)):
        for value in VALUES[:2] if name.endswith("_dir") else VALUES[:1]:
            refused(f"{name} = {value}\n", tmp_path, monkeypatch)
            tried += 1
    assert tried > 10
