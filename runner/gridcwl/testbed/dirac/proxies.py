"""Who acts at the testbed's DIRAC: a user and a pilot, with certificates, and proxies that expire when told to."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path

from cryptography import x509

from gridcwl.testbed.dirac.layout import ADMIN_GROUP, PILOT, PILOT_GROUP, USER, USER_GROUP, Subjects
from gridcwl.testbed.pki import Authority, CertificateFiles
from gridcwl.testbed.place import InstallFolder


class Proxies:
    """The proxies of one testbed, as files for their owner alone."""

    def __init__(self, place: InstallFolder, authority: Authority, lifetime: timedelta) -> None:
        self._place = place
        self._authority = authority
        self._lifetime = lifetime

    @property
    def user(self) -> Path:
        """The user's proxy."""
        return self._folder / "user"

    @property
    def admin(self) -> Path:
        """The same user's, who acts as administrator."""
        return self._folder / "admin"

    @property
    def user_certificate(self) -> CertificateFiles:
        """What the user's proxies are made from."""
        return self._authority.certificate(USER, USER)

    @property
    def subjects(self) -> Subjects:
        """Who is who, for DIRAC's registry."""
        return Subjects(self._authority.host.subject, self.user_certificate.subject, self._pilot.subject)

    def renew(self, lifetime: timedelta | None = None) -> None:
        """Write the user's proxies again.

        Args:
            lifetime: from now; as configured by default, negative for proxies that have expired.
        """
        life = self._lifetime if lifetime is None else lifetime
        self._authority.proxy(self.user_certificate, self.user, life, group=USER_GROUP)
        self._authority.proxy(self.user_certificate, self.admin, life, group=ADMIN_GROUP)

    def renew_if_old(self) -> None:
        """Write them again if there are none, half of their life is over, or their certificate is a newer one."""
        certificate = self.user_certificate.certificate.stat().st_mtime
        for proxy in (self.user, self.admin):
            if remaining(proxy) < self._lifetime / 2 or proxy.stat().st_mtime < certificate:
                self.renew()
                return

    def for_pilot(self, path: Path) -> Path:
        """A pilot's proxy, which may ask for any user's job."""
        return self._authority.proxy(self._pilot, path, self._authority_lifetime, group=PILOT_GROUP)

    @property
    def _pilot(self) -> CertificateFiles:
        return self._authority.certificate(PILOT, PILOT)

    @property
    def _authority_lifetime(self) -> timedelta:
        """A pilot's proxy is not what tests let expire."""
        return max(remaining(self._pilot.certificate), timedelta(minutes=1))

    @property
    def _folder(self) -> Path:
        return self._place.folder("dirac", "proxies")


def remaining(path: Path) -> timedelta:
    """How long a certificate or a proxy is still good for; none if there is none."""
    try:
        first = x509.load_pem_x509_certificate(path.read_bytes())
    except (FileNotFoundError, ValueError):
        return timedelta()
    return max(first.not_valid_after_utc - datetime.now(UTC), timedelta())
