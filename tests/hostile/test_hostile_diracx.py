"""What DiracX and its storage send is read within limits."""

from __future__ import annotations

import gzip
import json
import tracemalloc
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from gridcwl.backends.dirac.diracx.rest import Rest
from gridcwl.errors import LimitExceeded
from gridcwl.model import limits

MIB = limits.MIB


def rest(folder: Path, answer: httpx.Response) -> Rest:
    """A DiracX that always answers so."""
    tokens = {"access_token": "a", "refresh_token": "r", "expires_on": 2**40}
    (folder / "tokens.json").write_text(json.dumps(tokens))
    made = Rest("https://diracx.example.org", folder / "tokens.json")
    made._client = httpx.Client(transport=httpx.MockTransport(lambda _request: answer))
    return made


def zeros(amount: int) -> Iterator[bytes]:
    for _ in range(amount):
        yield bytes(MIB)


BOMB = {"content-encoding": "gzip"}


@pytest.mark.parametrize(
    "answer",
    [
        lambda: httpx.Response(200, content=zeros(1 << 20)),
        lambda: httpx.Response(200, headers=BOMB, content=iter([gzip.compress(bytes(24 * MIB))])),
        lambda: httpx.Response(200, headers={"content-length": str(1 << 50)}, content=zeros(1)),
        lambda: httpx.Response(500, content=zeros(1 << 20)),
    ],
)
def test_a_sandbox_without_end_is_not_read_to_its_end(tmp_path, monkeypatch, answer):
    monkeypatch.setattr(limits, "SANDBOX_BYTES", 8 * MIB)
    asked = rest(tmp_path, answer())
    tracemalloc.start()
    with pytest.raises(LimitExceeded, match="The output sandbox is refused: it has more than 8,388,608 bytes"):
        asked.get("fetching", "https://s3.example.org/x")
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 128 * MIB


def test_a_sandbox_that_is_small_enough_is_read(tmp_path):
    answer = httpx.Response(200, headers=BOMB, content=iter([gzip.compress(b"sandbox")]))
    assert rest(tmp_path, answer).get("fetching", "https://s3.example.org/x") == b"sandbox"


def test_a_length_that_is_no_number_does_no_harm(tmp_path):
    answer = httpx.Response(200, headers=[(b"content-length", "²".encode("latin-1"))], content=iter([b"x"]))
    assert rest(tmp_path, answer).get("fetching", "https://s3.example.org/x") == b"x"
