"""The token issuer: what it hands out, and what it does not take."""

from __future__ import annotations

from datetime import timedelta
from urllib.parse import parse_qs, urlsplit

import pytest

from gridcwl.testbed.oidc.server import Provider, _Refused
from gridcwl.testbed.oidc.tokens import BadToken, issuer

HOUR = timedelta(hours=1)


@pytest.fixture
def provider(tmp_path):
    return Provider(issuer("https://localhost:1/", tmp_path / "key"), {"rucio": "secret"}, HOUR)


def logged_in(provider, scope="openid offline_access"):
    asked = {"redirect_uri": "https://rucio/cb", "state": "s", "nonce": "n", "scope": scope, "user": "alice"}
    where = urlsplit(provider.authorize(asked))
    code = parse_qs(where.query)["code"][0]
    return provider.token({"grant_type": "authorization_code", "code": code}, "rucio"), code


def test_who_logs_in_gets_tokens_that_say_who_it_is(provider):
    tokens, _ = logged_in(provider)
    assert provider.issuer.checked(tokens["access_token"])["sub"] == "alice"
    assert provider.issuer.checked(tokens["id_token"])["nonce"] == "n"


def test_a_code_is_good_once(provider):
    _, code = logged_in(provider)
    with pytest.raises(_Refused, match="invalid_grant"):
        provider.token({"grant_type": "authorization_code", "code": code}, "rucio")


def test_a_refresh_token_gets_new_tokens_once(provider):
    tokens, _ = logged_in(provider)
    asked = {"grant_type": "refresh_token", "refresh_token": tokens["refresh_token"]}
    again = provider.token(asked, "rucio")
    assert provider.issuer.checked(again["access_token"])["sub"] == "alice"
    assert again["refresh_token"] != tokens["refresh_token"]
    with pytest.raises(_Refused, match="invalid_grant"):
        provider.token(asked, "rucio")


def test_without_offline_access_there_is_no_refresh_token(provider):
    assert "refresh_token" not in logged_in(provider, "openid")[0]


def test_an_access_token_does_not_refresh(provider):
    tokens, _ = logged_in(provider)
    with pytest.raises(_Refused, match="invalid_grant"):
        provider.token({"grant_type": "refresh_token", "refresh_token": tokens["access_token"]}, "rucio")


def test_a_client_gets_a_token_of_its_own_with_the_scope_it_asks_for(provider):
    asked = {"grant_type": "client_credentials", "scope": "storage.read:/", "audience": "https://xrootd"}
    claims = provider.issuer.checked(provider.token(asked, "rucio")["access_token"])
    assert (claims["sub"], claims["scope"], claims["aud"]) == ("rucio", "storage.read:/", ["https://xrootd"])


def test_a_token_is_exchanged_for_another_of_the_same_user(provider):
    asked = {"grant_type": "urn:ietf:params:oauth:grant-type:token-exchange"}
    asked["subject_token"] = provider.issuer.access_token("alice", HOUR)
    assert provider.issuer.checked(provider.token(asked, "rucio")["access_token"])["sub"] == "alice"


def test_what_has_expired_or_is_anothers_is_not_taken(provider, tmp_path):
    other = issuer(provider.issuer.url, tmp_path / "other")
    for token, why in (
        (provider.issuer.access_token("alice", -HOUR), "expired"),
        (other.access_token("alice", HOUR), "signature"),
        ("nonsense", "signature"),
    ):
        with pytest.raises(BadToken, match=why):
            provider.issuer.checked(token)
        assert provider.introspect(token) == {"active": False}


def test_only_who_knows_the_secret_is_the_client(provider):
    assert provider.knows("rucio", "secret")
    assert not provider.knows("rucio", "guess")
    assert not provider.knows("", "")


def test_the_key_is_kept_for_its_owner_alone(provider, tmp_path):
    assert (tmp_path / "key").stat().st_mode & 0o777 == 0o600
    again = issuer(provider.issuer.url, tmp_path / "key")
    assert again.checked(provider.issuer.access_token("alice", HOUR))["sub"] == "alice"
