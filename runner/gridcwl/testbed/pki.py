"""A throw-away certificate authority: host, users, proxies. Good for this machine and nothing else, and it says so.

The authority may only speak for ``localhost`` (X.509 name constraints), every subject says what it is, and the folder
with its certificate is laid out as ``/etc/grid-security/certificates`` is.
"""

from __future__ import annotations

import hashlib
import ipaddress
import os
import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from gridcwl.testbed.place import InstallFolder

ORGANIZATION, UNIT = "gridcwl testbed", "NOT FOR PRODUCTION"
SUBJECT = f"/O={ORGANIZATION}/OU={UNIT}/CN="
"""How every subject begins, as the grid writes it."""

_AUTHORITY_LIFETIME = timedelta(days=365)
_SKEW = timedelta(minutes=5)
# RFC 3820: ProxyCertInfo, with the policy language "inherits all"
_PROXY_CERT_INFO = x509.ObjectIdentifier("1.3.6.1.5.5.7.1.14")
_INHERIT_ALL = bytes.fromhex("300c300a06082b06010505071501")
# DIRAC/Core/Security/m2crypto/__init__.py: DIRAC_GROUP_OID, an IA5String
_DIRAC_GROUP = x509.ObjectIdentifier("1.2.42.42")


@dataclass(frozen=True, slots=True)
class CertificateFiles:
    """A certificate with its key, as two PEM files."""

    certificate: Path
    key: Path
    subject: str
    """As the grid writes it: /O=.../CN=..."""


class Authority:
    """The testbed's certificate authority; what it made is kept, and made again before it expires."""

    def __init__(self, place: InstallFolder, lifetime: timedelta = timedelta(days=30)) -> None:
        self._place = place
        self._lifetime = lifetime
        self._folder = place.folder("pki")

    @property
    def ca_dir(self) -> Path:
        """As X509_CERT_DIR wants it; open to all."""
        self._own()
        return self._place.root / "certificates"

    @property
    def ca_certificate(self) -> Path:
        """The authority's certificate, as one PEM file; open to all."""
        return self.ca_dir / "testbed-ca.pem"

    @property
    def host_cert(self) -> Path:
        """The certificate of every server here."""
        return self.host.certificate

    @property
    def host_key(self) -> Path:
        """Its key."""
        return self.host.key

    @property
    def host(self) -> CertificateFiles:
        """What servers here show: good for localhost and 127.0.0.1."""
        return self.certificate("host", "localhost", host=True)

    def certificate(
        self, name: str, subject: str, lifetime: timedelta | None = None, *, host: bool = False
    ) -> CertificateFiles:
        """The certificate of this name; made if there is none, or if it has less than a tenth of its life left.

        Args:
            name: how its files are called.
            subject: its common name; the rest of the subject is :data:`SUBJECT`.
            lifetime: from now; what has been over since before the beginning if it is negative.
            host: with localhost's names, for a server.
        """
        with self._place.lock("pki"):
            self._own()
            made = CertificateFiles(self._folder / f"{name}.pem", self._folder / f"{name}.key", SUBJECT + subject)
            life = lifetime or self._lifetime
            if not _lasts(made.certificate, max(life, timedelta()) / 10) or lifetime is not None:
                self._issue(made, subject, life, host=host)
            return made

    def proxy(self, credential: CertificateFiles, path: Path, lifetime: timedelta, *, group: str | None = None) -> Path:
        """Write an RFC 3820 proxy for a credential: certificate, key and chain in one file, for its owner alone.

        Args:
            lifetime: negative for one that has expired.
            group: the group that its bearer acts in at DIRAC.
        """
        issuer = x509.load_pem_x509_certificate(credential.certificate.read_bytes())
        key = _new_key()
        serial = x509.random_serial_number()
        proxy_name = x509.NameAttribute(NameOID.COMMON_NAME, str(serial % 2**31))
        builder = _builder(x509.Name([*issuer.subject, proxy_name]), issuer.subject, key, lifetime, serial)
        if group is not None:
            builder = builder.add_extension(x509.UnrecognizedExtension(_DIRAC_GROUP, _ia5(group)), critical=False)
        # it cannot live longer than what it stands for
        made = (
            builder.add_extension(x509.UnrecognizedExtension(_PROXY_CERT_INFO, _INHERIT_ALL), critical=True)
            .add_extension(_usage(digital_signature=True, key_encipherment=True), critical=True)
            .sign(_read_key(credential.key), hashes.SHA256())
        )
        _write(path, [_pem(made), _key_pem(key), _pem(issuer)], mode=0o600)
        return path

    def _own(self) -> None:
        if _lasts(self._folder / "ca.pem", timedelta(days=1)):
            return
        # what another authority signed is worth nothing under this one
        shutil.rmtree(self._folder)
        self._folder = self._place.folder("pki")
        key = _new_key()
        name = _name(None)
        identifier = x509.SubjectKeyIdentifier.from_public_key(key.public_key())
        here = [x509.DNSName("localhost"), x509.IPAddress(ipaddress.ip_network("127.0.0.1/32"))]
        made = (
            _builder(name, name, key, _AUTHORITY_LIFETIME)
            .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
            .add_extension(_usage(digital_signature=True, key_cert_sign=True, crl_sign=True), critical=True)
            .add_extension(identifier, critical=False)
            .add_extension(x509.NameConstraints(here, None), critical=True)
            .sign(key, hashes.SHA256())
        )
        _write(self._folder / "ca.key", [_key_pem(key)], mode=0o600)
        self._lay_out(made)
        _write(self._folder / "ca.pem", [_pem(made)], mode=0o600)

    def _lay_out(self, certificate: x509.Certificate) -> None:
        """Make the folder that grid software looks for authorities in."""
        folder = self._place.root / "certificates"
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir(mode=0o755)
        digest = name_hash(certificate.subject)
        policy = (
            f"access_id_CA X509 '/O={ORGANIZATION}/CN={UNIT}'\n"
            "pos_rights globus CA:sign\n"
            f"cond_subjects globus '\"/O={ORGANIZATION}/*\"'\n"
        )
        _write(folder / "testbed-ca.pem", [_pem(certificate)], mode=0o644)
        _write(folder / f"{digest}.0", [_pem(certificate)], mode=0o644)
        _write(folder / f"{digest}.signing_policy", [policy.encode()], mode=0o644)

    def _issue(self, credential: CertificateFiles, subject: str, lifetime: timedelta, *, host: bool) -> None:
        authority = x509.load_pem_x509_certificate((self._folder / "ca.pem").read_bytes())
        authority_key = _read_key(self._folder / "ca.key")
        key = _new_key()
        purposes = [ExtendedKeyUsageOID.CLIENT_AUTH, *([ExtendedKeyUsageOID.SERVER_AUTH] if host else [])]
        of_authority = authority.extensions.get_extension_for_class(x509.SubjectKeyIdentifier).value
        builder = (
            _builder(_name(subject), authority.subject, key, lifetime)
            .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
            .add_extension(_usage(digital_signature=True, key_encipherment=True), critical=True)
            .add_extension(x509.ExtendedKeyUsage(purposes), critical=False)
            .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
            .add_extension(x509.AuthorityKeyIdentifier.from_issuer_subject_key_identifier(of_authority), critical=False)
        )
        if host:
            names = [x509.DNSName("localhost"), x509.IPAddress(ipaddress.ip_address("127.0.0.1"))]
            builder = builder.add_extension(x509.SubjectAlternativeName(names), critical=False)
        _write(credential.key, [_key_pem(key)], mode=0o400)  # grid software insists on it
        _write(credential.certificate, [_pem(builder.sign(authority_key, hashes.SHA256()))], mode=0o644)


def name_hash(name: x509.Name) -> str:
    """The hash that OpenSSL looks a certificate authority up by, as eight hexadecimal digits.

    X509_NAME_hash(3): the first four bytes of the SHA-1 of the name's canonical form, which is its parts without the
    sequence around them, in UTF-8, in lower case and with single blanks.
    """
    parts = b"".join(
        x509.Name([x509.NameAttribute(each.oid, " ".join(str(each.value).lower().split()))]).public_bytes()[2:]
        for each in name
    )
    return hashlib.sha1(parts).digest()[3::-1].hex()


def _name(common_name: str | None) -> x509.Name:
    """A subject; the authority's own without a common name."""
    parts = [x509.NameAttribute(NameOID.ORGANIZATION_NAME, ORGANIZATION)]
    if common_name is None:
        return x509.Name([*parts, x509.NameAttribute(NameOID.COMMON_NAME, UNIT)])
    parts.append(x509.NameAttribute(NameOID.ORGANIZATIONAL_UNIT_NAME, UNIT))
    return x509.Name([*parts, x509.NameAttribute(NameOID.COMMON_NAME, common_name)])


def _builder(
    subject: x509.Name, issuer: x509.Name, key: rsa.RSAPrivateKey, lifetime: timedelta, serial: int | None = None
) -> x509.CertificateBuilder:
    now = datetime.now(UTC)
    until = now + lifetime
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(key.public_key())
        .serial_number(serial or x509.random_serial_number())
        .not_valid_before(min(now, until) - _SKEW)
        .not_valid_after(until)
    )


def _ia5(value: str) -> bytes:
    encoded = value.encode("ascii")
    assert len(encoded) < 128, "a length of one byte"
    return bytes([0x16, len(encoded)]) + encoded


def _usage(**given: bool) -> x509.KeyUsage:
    names = (
        "digital_signature", "content_commitment", "key_encipherment", "data_encipherment", "key_agreement",
        "key_cert_sign", "crl_sign", "encipher_only", "decipher_only",
    )  # fmt: skip
    return x509.KeyUsage(**{name: given.get(name, False) for name in names})


def _lasts(path: Path, margin: timedelta) -> bool:
    """There is a certificate, and it is good for so long."""
    try:
        certificate = x509.load_pem_x509_certificate(path.read_bytes())
    except (FileNotFoundError, ValueError):
        return False
    return certificate.not_valid_after_utc > datetime.now(UTC) + margin


def _new_key() -> rsa.RSAPrivateKey:
    return rsa.generate_private_key(public_exponent=65537, key_size=2048)


def _read_key(path: Path) -> rsa.RSAPrivateKey:
    key = serialization.load_pem_private_key(path.read_bytes(), password=None)
    assert isinstance(key, rsa.RSAPrivateKey)
    return key


def _pem(certificate: x509.Certificate) -> bytes:
    return certificate.public_bytes(serialization.Encoding.PEM)


def _key_pem(key: rsa.RSAPrivateKey) -> bytes:
    # the older form: software for proxies looks for "RSA PRIVATE KEY"
    kind = serialization.PrivateFormat.TraditionalOpenSSL
    return key.private_bytes(serialization.Encoding.PEM, kind, serialization.NoEncryption())


def _write(path: Path, parts: Sequence[bytes], *, mode: int) -> None:
    """Put a file in place whole, never readable by more than it should be."""
    written = path.with_name(path.name + ".new")
    descriptor = os.open(written, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(descriptor, "wb") as stream:
        stream.write(b"".join(parts))
        os.fchmod(stream.fileno(), mode)
    written.replace(path)
