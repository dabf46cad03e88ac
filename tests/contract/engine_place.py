"""What a test of an engine needs around it: folders, a call made of defaults, and images made of nothing."""

import dataclasses
import hashlib
import io
import json
import os
import platform
import re
import shutil
import subprocess
import tarfile
import uuid
from pathlib import Path

from gridcwl.worker.engine import Call, Mount

IMAGE = "debian:trixie-slim"
_MACHINES = {"x86_64": "amd64", "aarch64": "arm64"}


class Place:
    """Folders for one job, and what its tool left there."""

    def __init__(self, folder: Path, image: str) -> None:
        self.folder = folder
        self.image = image
        self.out = folder / "out"
        self.out.mkdir()
        self.stdout = folder / "stdout"
        self.stderr = folder / "stderr"

    def call(self, *argv: str, mounts=(), **fields) -> Call:
        """A call with /out writable, and everything else as the test wants it."""
        name = f"gridcwl-test-{uuid.uuid4().hex[:12]}"
        defaults = Call(
            name=name,
            argv=argv,
            environment={"HOME": "/out"},
            workdir="/out",
            stdout=str(self.stdout),
            stderr=str(self.stderr),
            image=self.image,
            mounts=(Mount(str(self.out), "/out", writable=True), *mounts),
            labels={"gridcwl.run": name, "gridcwl.job": name},
        )
        return dataclasses.replace(defaults, **fields)

    def shell(self, script: str, **fields) -> Call:
        return self.call("sh", "-c", script, **fields)

    def file(self, name: str, contents: bytes = b"") -> Path:
        path = self.folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(contents)
        return path

    def pipe(self, name: str) -> Path:
        """A named pipe in /out: reading it waits until the tool has written there."""
        path = self.out / name
        os.mkfifo(path)
        return path

    @property
    def said(self) -> str:
        return self.stdout.read_text()


def small_rootfs(path: Path) -> Path:
    """An archive with nothing but this machine's shell, and a file that says so."""
    shell = shutil.which("dash") or shutil.which("sh")
    listed = subprocess.run(["ldd", shell], capture_output=True, text=True, check=False).stdout
    libraries = re.findall(r"(/\S+) \(0x", listed)
    with tarfile.open(path, "w") as archive:
        for source, name in [(shell, "bin/sh"), *((library, library.lstrip("/")) for library in libraries)]:
            archive.add(os.path.realpath(source), name)
        for name in ("out", "tmp", "proc", "dev", "sys", "etc"):
            folder = tarfile.TarInfo(name)
            folder.type, folder.mode = tarfile.DIRTYPE, 0o755
            archive.addfile(folder)
    return path


def docker_archive(path: Path, rootfs: Path, name: str) -> Path:
    """What ``docker save`` would have written for an image of one layer."""
    layer = rootfs.read_bytes()
    config = {
        "architecture": _MACHINES[platform.machine()],
        "os": "linux",
        "config": {"Env": ["PATH=/bin"]},
        "rootfs": {"type": "layers", "diff_ids": [f"sha256:{hashlib.sha256(layer).hexdigest()}"]},
    }
    manifest = [{"Config": "config.json", "RepoTags": [name], "Layers": ["layer.tar"]}]
    with tarfile.open(path, "w") as archive:
        for member, contents in (
            ("config.json", json.dumps(config).encode()),
            ("layer.tar", layer),
            ("manifest.json", json.dumps(manifest).encode()),
        ):
            header = tarfile.TarInfo(member)
            header.size = len(contents)
            archive.addfile(header, io.BytesIO(contents))
    return path
