"""Proxies of the testbed's user: made, renewed, and expired on request."""

from __future__ import annotations

import os
import subprocess
from datetime import timedelta
from pathlib import Path

import pytest
from cryptography import x509

from gridcwl.testbed.dirac.proxies import Proxies, remaining
from gridcwl.testbed.pki import Authority
from gridcwl.testbed.place import InstallFolder


@pytest.fixture(scope="module")
def place(tmp_path_factory) -> InstallFolder:
    return InstallFolder(tmp_path_factory.mktemp("testbed"))


@pytest.fixture
def proxies(place: InstallFolder) -> Proxies:
    made = Proxies(place, Authority(place), timedelta(days=2))
    made.renew()
    return made


def group(path: Path) -> str:
    """The group in a proxy, as openssl shows it."""
    shown = subprocess.run(["openssl", "asn1parse", "-in", path], capture_output=True, text=True, check=True).stdout
    after = shown[shown.index("1.2.42.42") :].splitlines()[1]
    return bytes.fromhex(after.rpartition(":")[2])[2:].decode()


def test_a_proxy_lives_as_long_as_requested(proxies):
    assert timedelta(days=1.9) < remaining(proxies.user) <= timedelta(days=2)
    proxies.renew(timedelta(seconds=30))
    assert timedelta() < remaining(proxies.user) <= timedelta(seconds=30)


def test_a_proxy_can_have_expired(proxies):
    proxies.renew(timedelta(hours=-1))
    assert remaining(proxies.user) == timedelta()


def test_a_proxy_names_the_group_that_its_bearer_acts_in(proxies):
    assert group(proxies.user) == "gridcwl_user"
    assert group(proxies.admin) == "gridcwl_admin"


def test_a_proxy_is_for_nobody_elses_eyes(proxies):
    assert proxies.user.stat().st_mode & 0o777 == 0o600


def test_what_is_fresh_is_left_alone(proxies):
    before = proxies.user.read_bytes()
    proxies.renew_if_old()
    assert proxies.user.read_bytes() == before


def test_what_is_half_gone_is_renewed(proxies):
    proxies.renew(timedelta(hours=23))
    proxies.renew_if_old()
    assert remaining(proxies.user) > timedelta(days=1)


def test_a_proxy_of_an_older_certificate_is_renewed(proxies):
    before = proxies.user.read_bytes()
    after = proxies.user.stat().st_mtime + 10
    os.utime(proxies.user_certificate.certificate, (after, after))
    proxies.renew_if_old()
    assert proxies.user.read_bytes() != before


def test_the_user_is_the_one_that_rucio_knows(proxies):
    subject = x509.load_pem_x509_certificate(proxies.user_certificate.certificate.read_bytes()).subject
    assert subject.rfc4514_string().startswith("CN=runner,")
    assert proxies.subjects.user.endswith("/CN=runner")
