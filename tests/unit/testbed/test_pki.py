"""The throw-away certificate authority: what OpenSSL takes of it, and what nobody takes."""

from __future__ import annotations

import shutil
import ssl
import subprocess
from datetime import UTC, datetime, timedelta

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes

from gridcwl.testbed import pki
from gridcwl.testbed.pki import Authority
from gridcwl.testbed.place import InstallFolder

openssl = pytest.mark.skipif(shutil.which("openssl") is None, reason="needs the openssl command")


@pytest.fixture(scope="module")
def authority(tmp_path_factory):
    return Authority(InstallFolder(tmp_path_factory.mktemp("pki") / "box"))


def verify(authority, *what):
    command = ["openssl", "verify", "-allow_proxy_certs", "-CApath", str(authority.ca_dir), *map(str, what)]
    return subprocess.run(command, capture_output=True, text=True, check=False)


@openssl
def test_openssl_finds_the_authority_and_believes_it(authority):
    alice = authority.certificate("alice", "alice")
    assert verify(authority, authority.host_cert, alice.certificate).returncode == 0


@openssl
def test_the_folders_names_are_openssls_hashes(authority):
    command = ["openssl", "x509", "-noout", "-hash", "-in", str(authority.ca_certificate)]
    result = subprocess.run(command, capture_output=True, text=True, check=True)
    names = {path.name for path in authority.ca_dir.iterdir()}
    assert {f"{result.stdout.strip()}.0", f"{result.stdout.strip()}.signing_policy"} <= names


@openssl
def test_a_proxy_stands_for_its_owner_until_it_expires(authority, tmp_path):
    alice = authority.certificate("alice", "alice")
    good = authority.proxy(alice, tmp_path / "good", timedelta(hours=1))
    old = authority.proxy(alice, tmp_path / "old", timedelta(hours=-1))
    assert verify(authority, "-untrusted", alice.certificate, good).returncode == 0
    assert "certificate has expired" in verify(authority, "-untrusted", alice.certificate, old).stderr


def test_it_reports_what_it_is(authority):
    certificate = x509.load_pem_x509_certificate(authority.certificate("alice", "alice").certificate.read_bytes())
    assert "NOT FOR PRODUCTION" in certificate.subject.rfc4514_string()
    assert authority.certificate("alice", "alice").subject == "/O=gridcwl testbed/OU=NOT FOR PRODUCTION/CN=alice"


@openssl
def test_another_host_is_refused_even_if_the_authority_signs_it(authority, tmp_path):
    folder = authority._folder
    key = pki._new_key()
    ca = x509.load_pem_x509_certificate((folder / "ca.pem").read_bytes())
    name = x509.SubjectAlternativeName([x509.DNSName("voms.cta.example")])
    forged = pki._builder(pki._name("voms"), ca.subject, key, timedelta(days=1)).add_extension(name, critical=False)
    (tmp_path / "forged.pem").write_bytes(pki._pem(forged.sign(pki._read_key(folder / "ca.key"), hashes.SHA256())))
    assert "permitted subtree violation" in verify(authority, tmp_path / "forged.pem").stderr


def test_keys_are_for_their_owner_only(authority, tmp_path):
    alice = authority.certificate("alice", "alice")
    proxy = authority.proxy(alice, tmp_path / "proxy", timedelta(hours=1))
    assert (alice.key.stat().st_mode & 0o777, proxy.stat().st_mode & 0o777) == (0o400, 0o600)


def test_a_certificate_is_kept_and_made_again_before_it_expires(authority):
    kept = authority.certificate("bob", "bob").certificate.read_bytes()
    assert authority.certificate("bob", "bob").certificate.read_bytes() == kept
    short = authority.certificate("bob", "bob", timedelta(seconds=-1)).certificate
    assert x509.load_pem_x509_certificate(short.read_bytes()).not_valid_after_utc <= datetime.now(UTC)
    renewed = authority.certificate("bob", "bob").certificate.read_bytes()
    assert x509.load_pem_x509_certificate(renewed).not_valid_after_utc > datetime.now(UTC)


def test_python_speaks_tls_with_it(authority):
    context = ssl.create_default_context(cafile=authority.ca_certificate)
    context.load_cert_chain(authority.host_cert, authority.host_key)
