"""Archives in memory, as worker nodes send them."""

from __future__ import annotations

import io
import tarfile
from collections.abc import Mapping


def tar_gz(members: Mapping[str, bytes]) -> bytes:
    """A tar archive of files by name."""
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w:gz") as archive:
        for name, content in members.items():
            member = tarfile.TarInfo(name)
            member.size = len(content)
            archive.addfile(member, io.BytesIO(content))
    return buffer.getvalue()
