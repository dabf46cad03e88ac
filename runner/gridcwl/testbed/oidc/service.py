"""The testbed's token issuer, as a service of it."""

from __future__ import annotations

import json
import os
import sys
from datetime import timedelta

from gridcwl.testbed.oidc.tokens import TokenSigner, issuer
from gridcwl.testbed.place import InstallFolder
from gridcwl.testbed.secrets import secret
from gridcwl.testbed.service import InstalledServer, Say, Status
from gridcwl.testbed.waiting import listens, wait_for_port

CLIENT = "rucio"
PUBLIC_CLIENT = "gridcwl-cli"
"""Of ``gridcwl login``: it has no secret."""


def issuer_url(place: InstallFolder) -> str:
    """The issuer's name, which is where it is."""
    return f"https://{place.hostname}:{place.port('oidc')}/"


def issuer_of(place: InstallFolder) -> TokenSigner:
    """The issuer itself, for making tokens without asking its server."""
    return issuer(issuer_url(place), place.folder("oidc") / "issuer.key")


class OidcService(InstalledServer):
    """One process of this very Python."""

    name = "oidc"

    @property
    def url(self) -> str:
        """The issuer."""
        return issuer_url(self._place)

    def token(self, subject: str, lifetime: timedelta | None = None, *, scope: str | None = None) -> str:
        """An access token for this user, valid for this time; expired if that is negative."""
        given = {"scope": scope} if scope else {}
        return issuer_of(self._place).access_token(subject, lifetime or self._options.token_lifetime, **given)

    def install(self, say: Say) -> None:
        """Nothing: it runs in gridcwl's own environment."""

    def up(self, say: Say) -> None:
        """Start it, if it does not answer."""
        port = self._place.port("oidc")
        if self._processes.alive(self.name) and listens(port):
            return
        self._processes.stop(self.name)
        say(f"{self.name}: starting the token issuer {self.url}")
        issuer_of(self._place)  # makes the key
        path = self._place.folder("oidc") / "server.json"
        path.touch(mode=0o600)
        path.write_text(json.dumps(self._configuration(port)))
        command = [sys.executable, "-m", "gridcwl.testbed.oidc.server", str(path)]
        self._processes.start(self.name, command, env=dict(os.environ))
        wait_for_port(port, 30, log=self._place.log(self.name), given_up=lambda: not self._processes.alive(self.name))

    def down(self) -> None:
        """Stop it."""
        self._processes.stop(self.name)

    def status(self) -> list[Status]:
        """How it stands."""
        return [self._processes.status(self.name, self.url, self._place.known_port("oidc"))]

    def exports(self) -> dict[str, str]:
        """Where it is."""
        return {"GRIDCWL_TESTBED_ISSUER": self.url}

    def _configuration(self, port: int) -> dict[str, object]:
        return {
            "url": self.url,
            "port": port,
            "key": str(self._place.folder("oidc") / "issuer.key"),
            "clients": {CLIENT: secret(self._place, "oidc-client"), PUBLIC_CLIENT: ""},
            "token_lifetime_s": self._options.token_lifetime.total_seconds(),
            "certificate": str(self._authority.host_cert),
            "certificate_key": str(self._authority.host_key),
        }
