"""What DiracX needs before and after it starts; runs in DiracX's environment.

    python -m gridcwl.testbed.dirac.inside.diracx_tools prepare FOLDER VO GROUP USER PROPERTY...
    python -m gridcwl.testbed.dirac.inside.diracx_tools token URL SCOPE USER FILE      # the exchange's key on stdin

``prepare`` makes keys and a configuration repository, ``token`` gets a user's tokens and writes them as DiracX's client
reads them.
"""

from __future__ import annotations

import json
import sys
import urllib.parse
import urllib.request
from collections.abc import Sequence
from pathlib import Path

_SUBJECT = "75212b23-14c2-47be-9374-eb0113b0575e"
"""The user's, as an identity provider would have it; there is none here."""


def prepare(folder: Path, vo: str, group: str, user: str, *properties: str) -> None:
    """Keys to sign tokens with, and the configuration: one virtual organisation, one group, one user."""
    from diracx.cli.internal.config import add_user, add_vo, generate_cs
    from diracx.logic.__main__ import load_jwks, new_key, save_jwks

    keys = folder / "jwks.json"
    keys.touch(mode=0o600)
    keys.unlink()
    stored = load_jwks(keys)
    stored.keys.insert(0, new_key())
    keys.touch(mode=0o600)
    save_jwks(keys, stored)

    repository = folder / "cs" / "initialRepo"
    repository.parent.mkdir()
    generate_cs(str(repository))
    add_vo(str(repository), vo=vo, default_group=group, idp_url="http://idp.invalid", idp_client_id="none")
    add_user(str(repository), vo=vo, groups=[group], sub=_SUBJECT, preferred_username=user)
    _complete(repository, vo, group, properties)


def _complete(repository: Path, vo: str, group: str, properties: Sequence[str]) -> None:
    """What there is no command for.

    DiracX writes SoftwareDistModule = LocalSoftwareDist into every job; a classic JobAgent fails to load that. Classic
    services ask for tokens with all that a group may do.
    """
    import git
    import yaml

    path = repository / "default.yml"
    settings = yaml.safe_load(path.read_text())
    settings.setdefault("Operations", {}).setdefault("Defaults", {})["SoftwareDistModule"] = ""
    settings["Registry"][vo]["Groups"][group]["Properties"] = list(properties)
    path.write_text(yaml.safe_dump(settings))
    changed = git.Repo(repository)
    changed.index.add([path.name])
    changed.index.commit("Properties, and no software module")


def token(url: str, scope: str, user: str, path: Path, key: str) -> None:
    """Get tokens as a classic DIRAC would get them for a user that it knows by a proxy."""
    from diracx.core.models.auth import TokenResponse
    from diracx.core.utils import write_credentials

    asked = urllib.parse.urlencode({"preferred_username": user, "scope": scope})
    request = urllib.request.Request(  # noqa: S310
        f"{url}/api/auth/legacy-exchange?{asked}", headers={"Authorization": f"Bearer {key}"}
    )
    with urllib.request.urlopen(request, timeout=60) as answer:  # noqa: S310
        write_credentials(TokenResponse(**json.load(answer)), location=path)


if __name__ == "__main__":
    if sys.argv[1] == "prepare":
        prepare(Path(sys.argv[2]), *sys.argv[3:])
    else:
        token(sys.argv[2], sys.argv[3], sys.argv[4], Path(sys.argv[5]), sys.stdin.read().strip())
