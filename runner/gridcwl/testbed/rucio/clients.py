"""What the testbed's Rucio gives to those who use it: configuration, proxy and password of each account."""

from __future__ import annotations

import hashlib
import os
import time
from collections.abc import Mapping
from datetime import timedelta
from pathlib import Path

from gridcwl.testbed.pki import Authority, CertificateFiles
from gridcwl.testbed.place import InstallFolder
from gridcwl.testbed.rucio.configuration import ClientSettings, client_text
from gridcwl.testbed.secrets import secret
from gridcwl.testbed.service import InstallOptions


class Clients:
    """The accounts' own folders, ``rucio/clients/<account>``."""

    def __init__(self, place: InstallFolder, authority: Authority, options: InstallOptions) -> None:
        self._place = place
        self._authority = authority
        self._options = options

    @property
    def url(self) -> str:
        """The server."""
        return f"https://{self._place.hostname}:{self._place.port('rucio')}"

    @property
    def ca(self) -> Path:
        """The certificate authority to trust."""
        return self._authority.ca_certificate

    def exports(self, account: str) -> dict[str, str]:
        """The environment of a shell that is to be this account."""
        return {
            "RUCIO_CONFIG": str(self.configuration(account)),
            "RUCIO_HOME": str(self._folder(account)),
            "X509_CERT_DIR": str(self._authority.ca_dir),
            "X509_USER_PROXY": str(self.proxy(account)),
        }

    def configuration(self, account: str, *, url: str | None = None, auth: Mapping[str, str] | None = None) -> Path:
        """The rucio.cfg of this account.

        Args:
            url: where the server is, if not where it really is: for something in between.
            auth: ``auth_type`` and what goes with it; by default the account's password.
        """
        folder = self._folder(account)
        if url is not None or auth is not None:
            # with a token of its own: the client logs in nowhere while it has one
            folder = self._folder(account, _digest(f"{url} {auth}"))
        password = {"auth_type": "userpass", "username": account}
        password["password"] = secret(self._place, f"rucio-{account}")
        return self._write(folder, account, auth or password, url)

    def with_token(self, account: str, token: str) -> Path:
        """The rucio.cfg of this account with a token of the issuer in place of the password."""
        folder = self._folder(account, _digest(token))
        (folder / "token").touch(mode=0o600)
        (folder / "token").write_text(token)
        return self._write(folder, account, {"auth_type": "oidc"})

    def _write(self, folder: Path, account: str, auth: Mapping[str, str], url: str | None = None) -> Path:
        settings = ClientSettings(
            url=url or self.url, account=account, ca=self.ca, folder=folder, policy=self._options.policy, auth=auth
        )
        path, text = folder / "rucio.cfg", client_text(settings)
        if not path.exists() or path.read_text() != text:
            path.touch(mode=0o600)
            path.write_text(text)
        return path

    def credential(self, account: str) -> CertificateFiles:
        """The account's certificate."""
        return self._authority.certificate(account, account)

    def proxy(self, account: str, lifetime: timedelta | None = None) -> Path:
        """The account's proxy; made again when half of its life is over, or a lifetime is asked for.

        Args:
            lifetime: negative for one that has expired.
        """
        path = self._folder(account) / "proxy.pem"
        life = lifetime or self._options.proxy_lifetime
        with self._place.lock(f"proxy-{account}"):
            fresh = path.exists() and time.time() - path.stat().st_mtime < life.total_seconds() / 2
            if lifetime is not None or not fresh or _older(path, self.credential(account).certificate):
                self._authority.proxy(self.credential(account), path, life)
        return path

    def _folder(self, account: str, *beside: str) -> Path:
        return self._place.folder("rucio", "clients", account, *beside)


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()[:12]


def _older(one: Path, other: Path) -> bool:
    return os.stat(one).st_mtime < os.stat(other).st_mtime  # noqa: PTH116
