"""What a tool sees and can change from inside a container, with each engine that runs here."""

from __future__ import annotations

import json
import secrets
import shutil
import subprocess
from pathlib import Path

import pytest

from gridcwl.worker.control import Control
from gridcwl.worker.job import run_job
from gridcwl.worker.options import WorkerOptions

IMAGE = "debian:trixie-slim"


@pytest.fixture(
    params=[
        pytest.param("docker", marks=pytest.mark.docker),
        pytest.param("docker by its command", marks=pytest.mark.docker),
        pytest.param("podman", marks=pytest.mark.podman),
    ]
)
def engine(request):
    from gridcwl.backends.local.docker_engine import DockerEngine
    from gridcwl.worker.cli_engines import CommandLineEngine

    command = request.param.split()[0]
    if shutil.which(command) is None:
        pytest.skip(f"{command} is not installed")
    if subprocess.run([command, "image", "inspect", IMAGE], capture_output=True, check=False).returncode:
        pytest.skip(f"{command} has no {IMAGE}")
    engine = DockerEngine() if request.param == "docker" else CommandLineEngine(command)
    yield engine
    engine.close()


def run(folder: Path, engine, script: str, staged: list, **options) -> tuple[dict, str]:
    # the container is named by it, and another process may run the same test with the same engine
    job = {
        "id": f"job-{secrets.token_hex(4)}",
        "run": "run",
        "name": "step",
        "command": ["sh", "-c", script],
        "image": {"id": IMAGE},
    }
    job |= {"staged": staged, "outputs": {"globs": ["*"]}}
    result = run_job(job, str(folder / "job"), engine, Control(), options=WorkerOptions(**options))
    return result, Path(result["stdout_log"]).read_text() if result["stdout_log"] else result["reason"]


@pytest.mark.parametrize("max_mounts", [200, 2])
def test_nothing_but_inputs_is_visible_and_they_cannot_be_changed(tmp_path, engine, max_mounts):
    home = tmp_path / "home"
    staged = []
    for number in range(4):
        (home / str(number)).mkdir(parents=True)
        (home / str(number) / "x").write_text(f"input {number}\n")
        (home / str(number) / "id_rsa").write_text("secret\n")
        staged.append({"target": f"/gridcwl/in/{number}/x", "kind": "file", "sources": [str(home / str(number) / "x")]})
    script = """
        cat /gridcwl/in/*/x
        find /gridcwl /home /tmp -name 'id_rsa*'
        for n in 0 1 2 3; do
            { echo pwned > /gridcwl/in/$n/x; chmod 777 /gridcwl/in/$n/x
              rm -f /gridcwl/in/$n/x; touch /gridcwl/in/$n/new
              ln /gridcwl/in/$n/x /gridcwl/out/$n && echo pwned > /gridcwl/out/$n; } 2>/dev/null
        done
        true"""

    result, text = run(tmp_path, engine, script, staged, max_mounts=max_mounts)

    assert (result["outcome"], text) == ("success", "".join(f"input {n}\n" for n in range(4)))
    assert result["files"] == []
    for number in range(4):
        assert (home / str(number) / "x").read_text() == f"input {number}\n"
        assert (home / str(number) / "x").stat().st_mode & 0o777 == 0o644
        assert sorted(path.name for path in (home / str(number)).iterdir()) == ["id_rsa", "x"]


def test_setuid_programs_give_no_rights_and_are_not_kept(tmp_path, engine):
    script = "cp /bin/cat cat; chmod 6755 cat; ./cat /proc/self/status > status"

    result, text = run(tmp_path, engine, script, [])

    assert result["outcome"] == "success", text
    assert (tmp_path / "job/out/cat").stat().st_mode & 0o7777 == 0o755
    status = (tmp_path / "job/out/status").read_text()
    assert "NoNewPrivs:\t1" in status
    assert "CapEff:\t0000000000000000" in status


def test_links_to_this_machines_files_do_not_leave_the_container(tmp_path, engine):
    secret = tmp_path / "secret"
    secret.write_text("secret")
    made = tmp_path / "made"
    made.mkdir()
    (made / "x").symlink_to(secret)
    staged = [{"target": "/gridcwl/out/w", "kind": "directory", "sources": [str(made)], "writable": True}]
    staged.append({"target": "/gridcwl/in/d", "kind": "directory", "sources": [str(made)]})

    result, _ = run(
        tmp_path, engine, f"ln -s /gridcwl/in/d/x a; ln -s w/x b; ln -s {secret} c; cp -L w/x d; true", staged
    )

    assert [file["path"] for file in result["files"]] == ["w"]
    assert json.dumps(result["files"]).count(str(secret)) == 0
