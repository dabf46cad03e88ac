"""Words for secrets in what is written down: the same in every session, and of no use to who reads them."""

from __future__ import annotations

import contextlib
import hashlib
import os
import secrets
from collections.abc import Mapping
from pathlib import Path

from gridcwl.runs.keys import Masks


def masked(hidden: Mapping[str, str], state: Path) -> Masks:
    """A word for each stand-in.

    Args:
        hidden: stand-ins, which are new in every session, to secrets.
        state: a folder where the key for the digests is kept; it is made when it is first needed.
    """
    if not hidden:
        return {}
    key = _key(state / ".secret-key")
    return {
        stand_in: f"(secret {hashlib.blake2b(str(secret).encode(), key=key, digest_size=12).hexdigest()})"
        for stand_in, secret in hidden.items()
    }


def _key(path: Path) -> bytes:
    with contextlib.suppress(FileExistsError):
        descriptor = os.open(path, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600)
        with os.fdopen(descriptor, "wb") as file:
            file.write(secrets.token_bytes(32))
    return path.read_bytes()[:64]
