"""A real XRootD: the storage element that speaks davs, with checksums, certificates and tokens.

Whoever shows a certificate or proxy of the testbed's authority may do anything; whoever shows a token may do what the
token says (WLCG profile: storage.read, storage.modify); nobody else may do anything.
"""

from __future__ import annotations

import contextlib
import json
import os
import pwd
import shutil
import sqlite3
import time
from pathlib import Path

from gridcwl.testbed.installing import find_program, system_packages
from gridcwl.testbed.oidc.service import issuer_of, issuer_url
from gridcwl.testbed.pki import ORGANIZATION
from gridcwl.testbed.service import InstalledServer, Say, Status
from gridcwl.testbed.waiting import listens, wait_for_port

EXPORT = "/rucio"
"""What it exports; Rucio's files lie below."""

_USER = "xrootd"
_TOKENS = "/usr/lib/*/libXrdAccSciTokens-5.so"
_KEYS_LIFETIME_S = 10 * 365 * 86400


class XrootdService(InstalledServer):
    """One server, as the user ``xrootd`` if this is root: it refuses to run as root."""

    name = "xrootd"

    @property
    def _with_tokens(self) -> bool:
        return "oidc" in self._options.services

    @property
    def url(self) -> str:
        """Where Rucio's files are."""
        return f"davs://{self._place.hostname}:{self._place.port('xrootd-davs')}{EXPORT}"

    @property
    def storage(self) -> Path:
        """The folder with the files' bytes."""
        return self._place.root / "xrootd" / "data" / EXPORT.strip("/")

    def install(self, say: Say) -> None:
        """Debian's packages; the one for tokens is of use only with an issuer."""
        wanted = {"xrootd": "xrootd-server xrootd-plugins", "/usr/lib/*/libXrdHttp-5.so": "xrootd-server-plugins"}
        if self._with_tokens:
            wanted[_TOKENS] = "xrootd-scitokens-plugins"
        system_packages(wanted, say=say)

    def up(self, say: Say) -> None:
        """Start it, if it does not answer."""
        port = self._place.port("xrootd-davs")
        if self._processes.alive(self.name) and listens(port):
            return
        self._processes.stop(self.name)
        say(f"{self.name}: starting XRootD, {self.url}")
        folder = self._write()
        program = find_program("xrootd")
        assert program is not None, "install() has seen to it"
        env = {
            "PATH": os.environ.get("PATH", os.defpath),
            "HOME": str(folder),
            "XDG_CACHE_HOME": str(folder / "cache"),
            "XRD_LOGLEVEL": "Warning",
        }
        command = [program, "-c", str(folder / "xrootd.cfg"), "-n", "testbed"]
        self._processes.start(self.name, command, env=env, cwd=folder, user=_USER)
        wait_for_port(port, 30, log=self._place.log(self.name), given_up=lambda: not self._processes.alive(self.name))

    def down(self) -> None:
        """Stop it."""
        self._processes.stop(self.name)

    def status(self) -> list[Status]:
        """How it stands."""
        return [self._processes.status(self.name, self.url, self._place.known_port("xrootd-davs"))]

    def exports(self) -> dict[str, str]:
        """Nothing: Rucio tells where it is."""
        return {}

    def _write(self) -> Path:
        """Its folder with configuration, certificate, keys and room, in its user's hands."""
        folder = self._place.folder("xrootd")
        for name in ("admin", "data", "data" + EXPORT, "certs", "cache", "cache/scitokens"):
            (folder / name).mkdir(mode=0o755, exist_ok=True)
        for source, name in ((self._authority.host_cert, "host.pem"), (self._authority.host_key, "host.key")):
            (folder / "certs" / name).unlink(missing_ok=True)
            shutil.copy(source, folder / "certs" / name)
        (folder / "gridmap").write_text(f'"^/O={ORGANIZATION}/" testbed\n')
        (folder / "authdb").write_text(f"u testbed {EXPORT} a\n")
        if self._with_tokens:
            (folder / "scitokens.cfg").write_text(_tokens(issuer_url(self._place)))
            self._hand_over_keys(folder / "cache" / "scitokens" / "scitokens_cpp.sqllite")
        ports = self._place.port("xrootd"), self._place.port("xrootd-davs")
        text = _configuration(folder, self._authority.ca_dir, *ports, tokens=self._with_tokens)
        (folder / "xrootd.cfg").write_text(text)
        if os.geteuid() == 0:
            _give(folder, _USER)
        return folder

    def _hand_over_keys(self, cache: Path) -> None:
        """Put the issuer's public key where the SciTokens library keeps those that it has fetched.

        It would fetch them over https itself, but trusts this machine's certificate authorities only, and offers no
        setting for others in the version that Debian 12 has (0.7.3, scitokens_cache.cpp).
        """
        url = issuer_url(self._place)
        until = int(time.time()) + _KEYS_LIFETIME_S
        kept = json.dumps({"jwks": issuer_of(self._place).jwks(), "next_update": until, "expires": until})
        with contextlib.closing(sqlite3.connect(cache)) as database, database:
            database.execute(
                "CREATE TABLE IF NOT EXISTS keycache (issuer text UNIQUE PRIMARY KEY NOT NULL, keys text NOT NULL)"
            )
            database.execute("INSERT OR REPLACE INTO keycache VALUES (?, ?)", (url, kept))


def _configuration(folder: Path, ca_dir: Path, port: int, davs_port: int, *, tokens: bool) -> str:
    """xrootd.cfg."""
    lines = [
        f"all.export {EXPORT} r/w",
        f"oss.localroot {folder}/data",
        f"all.adminpath {folder}/admin",
        f"all.pidpath {folder}/admin",
        f"xrd.port {port}",
        "xrd.network nodnr",
        f"xrd.protocol http:{davs_port} libXrdHttp.so",
        f"xrd.tls {folder}/certs/host.pem {folder}/certs/host.key",
        f"xrd.tlsca certdir {ca_dir}",
        "xrootd.chksum max 2 adler32",
        "xrootd.async off",
        f"http.gridmap {folder}/gridmap",
        "http.header2cgi Authorization authz",
        "ofs.authorize 1",
        f"acc.authdb {folder}/authdb",
    ]
    if tokens:
        lines.append(f"ofs.authlib ++ libXrdAccSciTokens.so config={folder}/scitokens.cfg")
    return "\n".join(lines) + "\n"


def _tokens(issuer: str) -> str:
    """The configuration of the SciTokens plugin."""
    return (
        "[Global]\naudience = https://wlcg.cern.ch/jwt/v1/any\n\n"
        f"[Issuer testbed]\nissuer = {issuer}\nbase_path = {EXPORT}\n"
    )


def _give(folder: Path, user: str) -> None:
    """Make this user the owner of a folder and what is in it."""
    entry = pwd.getpwnam(user)
    os.chown(folder, entry.pw_uid, entry.pw_gid)
    for path in folder.rglob("*"):
        if path.lstat().st_uid != entry.pw_uid:
            os.chown(path, entry.pw_uid, entry.pw_gid, follow_symlinks=False)
