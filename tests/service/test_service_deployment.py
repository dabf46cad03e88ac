"""What operators deploy: the chart, the compose file, the unit, and the image."""

from __future__ import annotations

import functools
import json
import re
import shutil
import subprocess
import sys
import tomllib
import urllib.request
from pathlib import Path
from typing import Any

import pytest
from ruamel.yaml import YAML
from waiting import until

from gridcwl import __version__
from gridcwl.service.settings import load

ROOT = Path(__file__).parents[2]
CHART = ROOT / "deploy" / "helm" / "gridcwl"
NEEDED = ("auth.issuer=https://iam.example.org/", "database.password=secret")
IMAGE = f"gridcwl/service:{__version__}"


@functools.cache
def helm() -> str:
    """Helm's program, as ``make helm`` installs it."""
    subprocess.run([ROOT / "scripts" / "helm", sys.prefix, ROOT / "build" / "helm"], cwd=ROOT, check=True)
    return str(ROOT / "build" / "helm" / "helm")


def rendered(*values: str) -> list[Any]:
    """What Kubernetes gets, with these values."""
    words = [word for value in values for word in ("--set", value)]
    command = [helm(), "template", "release", str(CHART), *words]
    printed = subprocess.run(command, capture_output=True, text=True, check=False)
    assert printed.returncode == 0, printed.stderr
    return [one for one in YAML(typ="safe").load_all(printed.stdout) if one]


def of_kind(objects: list[Any], kind: str) -> dict[str, Any]:
    """The objects of a kind, by their names."""
    return {one["metadata"]["name"]: one for one in objects if one["kind"] == kind}


def test_the_chart_has_nothing_that_helm_complains_about():
    command = [helm(), "lint", "--strict", str(CHART), *(word for value in NEEDED for word in ("--set", value))]
    linted = subprocess.run(command, capture_output=True, text=True, check=False)
    assert linted.returncode == 0, linted.stdout
    assert "WARNING" not in linted.stdout


def test_the_charts_configuration_is_one_that_the_service_takes(tmp_path: Path):
    secrets = of_kind(rendered(*NEEDED, "maxActive=7", "publicUrl=https://wes.example.org"), "Secret")
    config = tmp_path / "service.toml"
    config.write_text(secrets["release-gridcwl-config"]["stringData"]["service.toml"])
    settings = load(config, {"host": "0.0.0.0"})
    assert settings.auth is not None
    assert (settings.auth.issuer, settings.max_active) == ("https://iam.example.org/", 7)
    assert settings.database_url == "postgresql://gridcwl@postgresql/gridcwl"
    assert dict(settings.runs) == {"backend": "dirac", "store": "rucio"}
    assert secrets["release-gridcwl-database"]["stringData"] == {"password": "secret"}


def test_pods_of_the_chart_are_not_root_and_are_restarted_with_their_configuration():
    pods = of_kind(rendered(*NEEDED), "Deployment")
    assert set(pods) == {"release-gridcwl-web", "release-gridcwl-drivers"}
    drivers = {}
    for name, deployment in pods.items():
        template = deployment["spec"]["template"]
        pod, (container,) = template["spec"], template["spec"]["containers"]
        assert pod["securityContext"]["runAsNonRoot"] is True
        assert pod["automountServiceAccountToken"] is False
        assert container["image"] == IMAGE
        assert container["securityContext"]["readOnlyRootFilesystem"] is True
        assert container["securityContext"]["capabilities"] == {"drop": ["ALL"]}
        assert container["livenessProbe"]["httpGet"]["path"] == "/healthz"
        assert container["readinessProbe"]["httpGet"]["path"] == "/readyz"
        assert {mount["name"] for mount in container["volumeMounts"]} == {one["name"] for one in pod["volumes"]}
        assert deployment["spec"]["selector"]["matchLabels"].items() <= template["metadata"]["labels"].items()
        assert "checksum/config" in template["metadata"]["annotations"]
        drivers[name.rpartition("-")[2]] = container["args"][container["args"].index("--drivers") + 1]
    assert drivers == {"web": "0", "drivers": "1"}


def test_the_charts_service_and_ingress_lead_to_what_answers_requests():
    objects = rendered(*NEEDED, "ingress.enabled=true", "ingress.host=wes.example.org", "ingress.tlsSecret=tls")
    web = of_kind(objects, "Deployment")["release-gridcwl-web"]["spec"]["template"]
    (service,) = of_kind(objects, "Service").values()
    assert service["spec"]["selector"].items() <= web["metadata"]["labels"].items()
    assert service["spec"]["ports"][0]["targetPort"] == web["spec"]["containers"][0]["ports"][0]["name"]
    (ingress,) = of_kind(objects, "Ingress").values()
    (rule,) = ingress["spec"]["rules"]
    assert rule["http"]["paths"][0]["backend"]["service"]["name"] == service["metadata"]["name"]
    assert ingress["spec"]["tls"] == [{"hosts": ["wes.example.org"], "secretName": "tls"}]


@pytest.mark.parametrize(
    ("values", "why"),
    [
        (("database.password=x",), "auth.issuer"),
        (NEEDED[:1], "database.password"),
        ((*NEEDED, "web.replicas=0"), "replicas"),
        ((*NEEDED, "database.url=postgresql://me:secret@db/gridcwl"), "url"),
        ((*NEEDED, "drivers.processes=many"), "processes"),
    ],
)
def test_values_that_make_no_service_are_refused(values: tuple[str, ...], why: str):
    words = [word for value in values for word in ("--set", value)]
    command = [helm(), "template", "release", str(CHART), *words]
    printed = subprocess.run(command, capture_output=True, text=True, check=False)
    assert printed.returncode != 0
    assert why in printed.stderr


def test_the_compose_file_starts_the_service_with_options_that_it_has(tmp_path: Path):
    compose = YAML(typ="safe").load((ROOT / "deploy" / "compose" / "compose.yaml").read_text())
    assert {"database", "web", "drivers"} == set(compose["services"])
    for name in ("web", "drivers"):
        one = compose["services"][name]
        assert one["image"].endswith(f":-{IMAGE}}}")
        assert one["depends_on"]["database"]["condition"] == "service_healthy"
        assert (one["read_only"], one["cap_drop"]) == (True, ["ALL"])
        assert [secret for secret in one["secrets"] if secret not in compose["secrets"]] == []
    example = ROOT / "deploy" / "compose" / "service.toml.example"
    copied = shutil.copy(example, tmp_path / "service.toml")
    settings = load(Path(copied), {"host": "0.0.0.0", "drivers": 0})
    assert settings.database_url == "postgresql://gridcwl@database/gridcwl"
    database = compose["services"]["database"]["environment"]
    assert (database["POSTGRES_USER"], database["POSTGRES_DB"]) == ("gridcwl", "gridcwl")


def test_the_compose_files_secrets_are_made_once(tmp_path: Path):
    script = shutil.copy(ROOT / "deploy" / "compose" / "make-secrets", tmp_path / "make-secrets")
    made = []
    for _ in range(2):
        subprocess.run([script], check=True, capture_output=True)
        made.append([(tmp_path / "secrets" / name).read_text() for name in ("database_password", "pgpass")])
    assert made[0] == made[1]
    password, pgpass = made[0]
    assert pgpass == f"database:5432:gridcwl:gridcwl:{password}"
    assert (tmp_path / "secrets" / "pgpass").stat().st_mode & 0o077 == 0


@pytest.mark.skipif(shutil.which("systemd-analyze") is None, reason="systemd is not installed")
def test_systemd_takes_the_unit(tmp_path: Path):
    text = (ROOT / "deploy" / "systemd" / "gridcwl.service").read_text()
    program = Path(sys.prefix) / "bin" / "gridcwl"
    unit = tmp_path / "gridcwl.service"
    unit.write_text(text.replace("/opt/gridcwl/bin/gridcwl", str(program)))
    checked = subprocess.run(
        ["systemd-analyze", "verify", "--man=no", unit], capture_output=True, text=True, check=False
    )
    complaints = [line for line in checked.stderr.splitlines() if "gridcwl.service" in line]
    assert (checked.returncode, complaints) == (0, [])


def test_images_and_files_of_deployment_are_of_this_version():
    chart = YAML(typ="safe").load((CHART / "Chart.yaml").read_text())
    assert chart["appVersion"] == __version__
    label = re.search(r'image.version="([^"]*)"', (ROOT / "containers/gridcwl-service/Dockerfile").read_text())
    assert label is not None
    assert label[1] == __version__
    assert tomllib.loads((ROOT / "deploy/compose/service.toml.example").read_text())["auth"]["audience"] == "gridcwl"


@pytest.mark.docker
def test_the_image_serves_as_an_ordinary_user_and_finds_itself_healthy_and_offers_gridcwls_workflows():
    if subprocess.run(["docker", "image", "inspect", IMAGE], capture_output=True, check=False).returncode:
        pytest.skip(f"{IMAGE} is not built: make images-service")
    command = ["docker", "run", "--detach", "--rm", "--network", "host", "--read-only", "--tmpfs", "/tmp"]
    command += ["--health-interval", "500ms", IMAGE, "--port", "0"]
    container = subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()
    try:

        def asked(*words: str) -> str:
            return subprocess.run(["docker", *words], capture_output=True, text=True, check=False).stdout

        url = until(lambda: asked("logs", container).strip())
        with urllib.request.urlopen(f"{url}/ga4gh/wes/v1/service-info") as answer:
            assert json.load(answer)["version"] == __version__
        with urllib.request.urlopen(f"{url}/api/v1/catalogue") as answer:
            assert "corsika-production" in {one["name"] for one in json.load(answer)["workflows"]}
        assert asked("exec", container, "id", "-u").strip() == "1000"
        port = url.rpartition(":")[2]
        healthy = ["docker", "exec", "--env", f"GRIDCWL_PORT={port}", container, "healthy"]
        assert subprocess.run(healthy, check=False).returncode == 0
        sick = ["docker", "exec", "--env", "GRIDCWL_PORT=1", container, "healthy"]
        assert subprocess.run(sick, capture_output=True, check=False).returncode != 0
    finally:
        subprocess.run(["docker", "rm", "--force", container], capture_output=True, check=False)
