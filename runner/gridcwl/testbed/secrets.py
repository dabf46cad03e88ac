"""Passwords of a testbed: random, one file each, for its owner alone. Never in a command line or a log."""

from __future__ import annotations

import os
import secrets

from gridcwl.testbed.place import InstallFolder


def secret(place: InstallFolder, name: str) -> str:
    """The password of this name, made at first."""
    path = place.folder("secrets") / name
    with place.lock("secrets"):
        if not path.exists():
            with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w") as stream:
                stream.write(secrets.token_urlsafe(18))
        return path.read_text()
