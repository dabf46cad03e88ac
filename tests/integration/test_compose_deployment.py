"""The compose file, started as docs/service/deploy.md says: ``make test-compose``.

Compose is Debian's, in a container; an image of Debian's PostgreSQL stands in for the public one. The issuer of tokens
is a folder of files, which only the process sees that answers requests.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path
from typing import Any

import httpx
import pytest
from cryptography.hazmat.primitives.asymmetric import rsa
from waiting import until
from wes import ENDS, PREFIX

from gridcwl.testbed.oidc.tokens import TokenSigner

ROOT = Path(__file__).parents[2]
DEPLOY = ROOT / "deploy" / "compose"
COMPOSE, POSTGRES = "gridcwl/compose-test:1", "gridcwl/postgres-test:17"
SOCKET = "/var/run/docker.sock"
ISSUER = "http://127.0.0.1:9000/"
OVERRIDE = """
services:
  web:
    ports: !override ["127.0.0.1:0:8080"]
  issuer:
    image: {image}
    network_mode: "service:web"
    entrypoint: [python3, -m, http.server, "9000", --bind, 127.0.0.1, --directory, /issuer]
    healthcheck: {{test: [CMD, "true"], interval: 1s}}
    volumes: ["./issuer:/issuer:ro"]
"""
DOUBLED = {
    "cwlVersion": "v1.2",
    "class": "ExpressionTool",
    "requirements": {"InlineJavascriptRequirement": {}},
    "inputs": {"number": "int"},
    "outputs": {"doubled": "int"},
    "expression": "${ return {doubled: 2 * inputs.number}; }",
}

pytestmark = [
    pytest.mark.docker,
    pytest.mark.skipif("GRIDCWL_COMPOSE" not in os.environ, reason="make test-compose runs it"),
]


class Deployment:
    """A copy of the compose file's folder, and the commands that operators type there."""

    def __init__(self, folder: Path, signer: TokenSigner) -> None:
        self.folder = folder
        self._signer = signer
        self._project = f"gridcwl-test-{uuid.uuid4().hex[:8]}"

    def __call__(self, *words: str) -> str:
        """``docker compose WORDS``; what it prints."""
        here = str(self.folder)
        command = ["docker", "run", "--rm", "-v", f"{SOCKET}:{SOCKET}", "-v", f"{here}:{here}", "-w", here]
        for name, value in {"COMPOSE_PROJECT_NAME": self._project, "POSTGRES_IMAGE": POSTGRES}.items():
            command += ["--env", f"{name}={value}"]
        done = subprocess.run(
            [*command, COMPOSE, "docker", "compose", *words], capture_output=True, text=True, check=False
        )
        assert done.returncode == 0, f"{words}: {done.stderr[-3000:]}"
        return done.stdout

    @contextmanager
    def client(self) -> Iterator[httpx.Client]:
        """Somebody who has logged in, once the service answers."""
        claims = self._signer._claims("ann", timedelta(hours=1)) | {"scope": "openid", "aud": "gridcwl"}
        url = f"http://{self('port', 'web', '8080').strip()}"
        headers = {"Authorization": f"Bearer {self._signer.signed(claims)}"}
        with httpx.Client(base_url=url, timeout=60, headers=headers) as made:
            until(lambda: _ready(made))
            yield made


def _ready(http: httpx.Client) -> bool:
    try:
        return http.get("/readyz").status_code == 200
    except httpx.TransportError:
        return False


@pytest.fixture(scope="module")
def deployed(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Deployment]:
    folder = tmp_path_factory.mktemp("compose")
    image = next(line for line in (DEPLOY / "compose.yaml").read_text().splitlines() if "GRIDCWL_IMAGE" in line)
    for file in DEPLOY.iterdir():
        shutil.copy(file, folder)
    shutil.copy(folder / "service.toml.example", folder / "service.toml")
    text = (folder / "service.toml").read_text().replace("https://iam.example.org/", ISSUER)
    text = text.replace('backend = "dirac"\nstore = "rucio"\n', "")
    (folder / "service.toml").write_text(text)
    subprocess.run(["./make-secrets"], cwd=folder, check=True)
    signer = TokenSigner(ISSUER, rsa.generate_private_key(public_exponent=65537, key_size=2048))
    (folder / "issuer" / ".well-known").mkdir(parents=True)
    about = {"issuer": ISSUER, "jwks_uri": f"{ISSUER}jwk"}
    (folder / "issuer" / ".well-known" / "openid-configuration").write_text(json.dumps(about))
    (folder / "issuer" / "jwk").write_text(json.dumps(signer.jwks()))
    name = image.partition(":-")[2].rstrip("}")
    (folder / "compose.override.yaml").write_text(OVERRIDE.format(image=name))
    made = Deployment(folder, signer)
    try:
        yield made
    finally:
        made("down", "--volumes", "--timeout", "5")


def submitted(http: httpx.Client, number: int) -> str:
    """A run of a workflow; its id."""
    plain = {
        **{"workflow_type": "CWL", "workflow_type_version": "v1.2", "workflow_url": "main.cwl"},
        "workflow_params": json.dumps({"number": number}),
    }
    attached = [("workflow_attachment", ("main.cwl", json.dumps(DOUBLED).encode()))]
    answer = http.post(f"{PREFIX}/runs", data=plain, files=attached)
    assert answer.status_code == 200, answer.text
    return str(answer.json()["run_id"])


def ended(http: httpx.Client, run: str) -> dict[str, Any]:
    """The log of a run that has ended."""
    until(lambda: http.get(f"{PREFIX}/runs/{run}/status").json()["state"] in ENDS)
    return dict(http.get(f"{PREFIX}/runs/{run}").json())


def test_the_compose_file_serves_restarts_and_is_restored_from_a_backup(deployed: Deployment):
    deployed("up", "--detach", "--wait", "--scale", "drivers=2")
    with deployed.client() as http:
        first = ended(http, submitted(http, 21))
        assert (first["state"], first["outputs"]) == ("COMPLETE", {"doubled": 42})

    deployed("restart", "web", "drivers")
    deployed("restart", "issuer")
    with deployed.client() as http:
        assert http.get(f"{PREFIX}/runs/{first['run_id']}").json()["outputs"] == {"doubled": 42}
        second = ended(http, submitted(http, 4))
        assert second["outputs"] == {"doubled": 8}

    service = ["--dir", "/var/lib/gridcwl", "--config", "/etc/gridcwl/service.toml"]
    archive = "/var/lib/gridcwl/backup.tar.gz"
    deployed("exec", "-T", "web", "gridcwl", "serve", "backup", archive, *service)
    deployed("cp", f"web:{archive}", "backup.tar.gz")
    os.chown(deployed.folder / "backup.tar.gz", 1000, 1000)
    deployed("exec", "-T", "web", "rm", archive)
    deployed("down", "--volumes")
    deployed("up", "--detach", "--wait", "database")
    mounted = ["--volume", f"{deployed.folder}/backup.tar.gz:/backup.tar.gz:ro"]
    deployed(
        *("run", "--rm", "-T", *mounted, "--entrypoint", "gridcwl", "web"),
        *("serve", "restore", "/backup.tar.gz", *service),
    )
    deployed("up", "--detach", "--wait", "--scale", "drivers=2")
    with deployed.client() as http:
        for run, doubled in ((first, 42), (second, 8)):
            log = http.get(f"{PREFIX}/runs/{run['run_id']}").json()
            assert (log["state"], log["outputs"]) == ("COMPLETE", {"doubled": doubled})
        assert ended(http, submitted(http, 1))["outputs"] == {"doubled": 2}
