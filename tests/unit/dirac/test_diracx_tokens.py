"""DiracX's tokens: renewed in time, kept private, and shown to nobody."""

from __future__ import annotations

import base64
import json
import stat
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest

from gridcwl.backends.dirac.diracx.tokens import TokenFile
from gridcwl.backends.dirac.problems import DiracCredential, DiracUnreachable


def token(name: str, ends_in: float = 3600.0) -> str:
    """Something that looks like one of DiracX's."""
    claims = {"preferred_username": "alice", "name": name, "exp": time.time() + ends_in}
    payload = base64.urlsafe_b64encode(json.dumps(claims).encode()).decode().rstrip("=")
    return f"head.{payload}.signature-of-{name}"


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "credentials.json"


@pytest.fixture
def write(path: Path) -> Callable[..., None]:
    def write(access: str, refresh: str | None, ends_in: float = 3600.0) -> None:
        path.touch(mode=0o600)
        held = {"access_token": access, "refresh_token": refresh, "expires_on": int(time.time() + ends_in)}
        path.write_text(json.dumps(held))

    return write


def never(_refresh: str) -> Mapping[str, Any]:
    raise AssertionError("nothing was to be renewed")


def test_a_token_that_is_good_for_a_while_is_taken_as_it_is(path, write):
    write(token("first"), token("refresh"))
    assert "signature-of-first" in TokenFile(path, never).access()


def test_a_token_that_is_about_to_end_is_renewed_and_kept_in_a_file_that_is_ours_alone(path, write):
    write(token("old"), token("refresh"), ends_in=60)
    path.chmod(0o644)
    asked: list[str] = []

    def renew(refresh: str) -> Mapping[str, Any]:
        asked.append(refresh)
        return {"access_token": token("new"), "expires_in": 1200, "refresh_token": token("next")}

    tokens = TokenFile(path, renew)
    assert "signature-of-new" in tokens.access()
    assert "signature-of-new" in tokens.access()
    assert [name.rpartition(".")[2] for name in asked] == ["signature-of-refresh"]
    kept = json.loads(path.read_text())
    assert kept["refresh_token"].endswith("signature-of-next")
    assert kept["expires_on"] > time.time() + 1000
    assert stat.S_IMODE(path.stat().st_mode) == 0o600


def test_a_refresh_token_that_is_not_answered_with_another_one_is_used_again(path, write):
    write(token("old"), token("refresh"), ends_in=60)
    TokenFile(path, lambda _: {"access_token": token("new"), "expires_in": 1200, "refresh_token": None}).access()
    assert json.loads(path.read_text())["refresh_token"].endswith("signature-of-refresh")


def test_what_another_program_has_renewed_meanwhile_is_taken(path, write):
    write(token("old"), token("refresh"), ends_in=-10)
    tokens = TokenFile(path, never)
    write(token("theirs"), token("refresh"))
    assert "signature-of-theirs" in tokens.access()


def test_a_token_that_cannot_be_renewed_now_is_used_while_it_lasts(path, write):
    def fail(_refresh: str) -> Mapping[str, Any]:
        raise DiracUnreachable("it does not answer")

    write(token("old"), token("refresh"), ends_in=60)
    assert "signature-of-old" in TokenFile(path, fail).access()
    write(token("old"), token("refresh"), ends_in=-10)
    with pytest.raises(DiracUnreachable):
        TokenFile(path, fail).access()


@pytest.mark.parametrize(
    ("text", "why"),
    [(None, "not there"), ("no JSON", "cannot be read"), ("{}", "cannot be read"), ("[]", "cannot be read")],
)
def test_without_tokens_the_user_is_asked_to_log_in(path, text, why):
    if text is not None:
        path.write_text(text)
    with pytest.raises(DiracCredential, match=why) as caught:
        TokenFile(path, never).access()
    assert "dirac login" in caught.value.remedy


def test_a_login_that_has_ended_is_reported_with_its_time_and_without_its_tokens(path, write):
    write(token("old", -20), token("refresh", -10), ends_in=-20)
    with pytest.raises(DiracCredential, match="the login ended at") as caught:
        TokenFile(path, never).access()
    assert "signature" not in str(caught.value) + caught.value.remedy


def test_tokens_have_no_text(path, write):
    write(token("first"), token("refresh"))
    assert "signature" not in repr(TokenFile(path, never).now())


def test_a_file_that_others_can_read_is_reported_once(path, write, caplog):
    write(token("first"), token("refresh"))
    path.chmod(0o644)
    tokens = TokenFile(path, never)
    tokens.access()
    tokens.forget()
    tokens.access()
    assert caplog.text.count("can be read by others") == 1
