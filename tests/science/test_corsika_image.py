"""CORSIKA's image is made from a tarball of one's own: proven with a stand-in of the same layout, without physics."""

from __future__ import annotations

import hashlib
import io
import json
import os
import subprocess
import tarfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from .conftest import CHECKOUT, CWL, Run, file, local

IMAGE = "gridcwl-test/corsika:stand-in"
CONFIG = "#define __STANDIN__ 1\n"
COCONUT = """\
#!/bin/sh
# what the real coconut is asked for: no question, and the options of config.h
[ "${CORSIKA_USER_COMP:-}" = 1 ] && [ "$1" = --expert ] || { echo "coconut asks questions" >&2; exit 1; }
grep -q __STANDIN__ include/config.h || { echo "no options in include/config.h" >&2; exit 1; }
gcc -O1 -o run/corsika99999Linux_STANDIN src/corsika.c
"""
PROGRAM = r"""
/* A stand-in: reads a card as CORSIKA does, and writes a run of that form with nothing in it. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
static float record[21 * 273];
static int blocks;
static FILE *out;
static void flush(void) {
    int size = sizeof record;
    if (!blocks) return;
    fwrite(&size, 4, 1, out); fwrite(record, 1, size, out); fwrite(&size, 4, 1, out);
    memset(record, 0, sizeof record); blocks = 0;
}
static float *block(const char *tag) {
    float *at;
    if (blocks == 21) flush();
    at = record + 273 * blocks++;
    memcpy(at, tag, 4);
    return at;
}
int main(void) {
    char line[512], key[64], table[600] = "", name[64];
    double a, b; int run = 0, showers = 0, first = 1, primary = 0, i; double energy = 0;
    FILE *data;
    while (fgets(line, sizeof line, stdin)) {
        if (sscanf(line, "%63s %lf %lf", key, &a, &b) < 1) continue;
        if (!strcmp(key, "EXIT")) break;
        if (!strcmp(key, "RUNNR")) run = a;
        if (!strcmp(key, "NSHOW")) showers = a;
        if (!strcmp(key, "EVTNR")) first = a;
        if (!strcmp(key, "PRMPAR")) primary = a;
        if (!strcmp(key, "ERANGE")) energy = a;
        if (!strcmp(key, "DATDIR")) sscanf(line, "%*s %500s", table);
    }
    strcat(table, "/TABLE"); data = fopen(table, "r");
    if (!data) { printf("STOP: NO TABLE %s\n", table); return 0; }
    sprintf(name, "DAT%06d", run); out = fopen(name, "wb");
    { float *at = block("RUNH"); at[1] = run; at[2] = 260101; at[3] = 7.75f; }
    for (i = first; i < first + showers; i++) {
        float *at = block("EVTH");
        at[1] = i; at[2] = primary; at[3] = energy; at[43] = run; at[44] = 260101; at[45] = 7.75f;
        block("EVTE")[1] = i;
    }
    { float *at = block("RUNE"); at[1] = run; at[2] = showers; }
    flush(); fclose(out);
    printf(" NUMBER OF GENERATED EVENTS = %10d\n ========== END OF RUN ================\n", showers);
    return 0;
}
"""


def tarball(folder: Path) -> Path:
    """corsika-99999.tar.gz: coconut, src/, include/ and run/, as in CORSIKA's own."""
    path = folder / "corsika-99999.tar.gz"
    members = {"coconut": COCONUT, "src/corsika.c": PROGRAM, "include/README": "", "run/TABLE": "1\n"}
    with tarfile.open(path, "w:gz") as archive:
        for name, text in members.items():
            info = tarfile.TarInfo(f"corsika-99999/{name}")
            info.size, info.mode = len(text.encode()), 0o755 if name == "coconut" else 0o644
            archive.addfile(info, io.BytesIO(text.encode()))
    return path


def sha256(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


def make_image(path: Path, checksum: str) -> subprocess.CompletedProcess[str]:
    config = path.with_name("config.h")
    config.write_text(CONFIG)
    command = [CHECKOUT / "scripts" / "corsika-image", path, config, checksum, IMAGE]
    return subprocess.run(command, capture_output=True, text=True, check=False)


def docker(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(["docker", *arguments], capture_output=True, text=True, check=False)


def inside(*command: str) -> subprocess.CompletedProcess[str]:
    return docker("run", "--rm", "--net=none", IMAGE, *command)


@pytest.fixture(scope="module")
def image(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The image, from the stand-in's tarball; removed in the end."""
    request.getfixturevalue("images")
    path = tarball(tmp_path_factory.mktemp("corsika"))
    made = make_image(path, sha256(path))
    assert made.returncode == 0, made.stderr
    yield made.stderr
    docker("rmi", "--force", IMAGE)


pytestmark = [pytest.mark.docker, pytest.mark.timeout(900)]


def test_the_program_is_there_and_the_tarball_in_no_layer(image: str) -> None:
    assert "corsika99999Linux_STANDIN" in image
    sources = "id -u; find / -xdev \\( -name 'corsika*.tar*' -o -name coconut -o -name corsika.c \\) 2>/dev/null"
    assert inside("sh", "-c", sources).stdout.split() == ["1000"]
    assert "/tarball" not in docker("history", "--no-trunc", IMAGE).stdout
    assert inside("gcc", "--version").returncode != 0
    assert inside("dirac-version").returncode == 0
    assert docker("images", "--quiet", "gridcwl/corsika-tarball").stdout == ""


@pytest.mark.usefixtures("image")
def test_a_production_runs_in_it_and_each_run_is_checked(gridcwl: Run, tmp_path: Path) -> None:
    overrides = tmp_path / "overrides.yml"
    tool = (CWL / "tools" / "corsika.cwl").as_uri()
    requirement = {"DockerRequirement": {"dockerPull": IMAGE}}
    overrides.write_text(json.dumps({"cwltool:overrides": {tool: {"requirements": requirement}}}))
    inputs = tmp_path / "inputs.json"
    array = file(CWL / "data" / "four-telescopes.yml")
    inputs.write_text(json.dumps({"primary": "proton", "runs": 2, "showers": 3, "first_run": 41, "array": array}))
    workflow = CWL / "workflows" / "corsika-production.cwl"
    outputs = gridcwl("--overrides", overrides, "--outdir", tmp_path / "out", workflow, inputs).outputs
    assert [data["basename"] for data in outputs["data"]] == ["DAT000041", "DAT000042"]
    assert all(json.loads(local(report).read_text())["whole"] for report in outputs["reports"])
    runs = json.loads(local(outputs["record"]).read_text())["runs"]
    assert len({seed for run in runs for seed in run["seeds"]}) == 8


def test_a_tarball_that_is_another_one_is_refused(images: None, tmp_path: Path) -> None:  # noqa: ARG001
    path = tarball(tmp_path)
    refused = make_image(path, "0" * 64)
    assert refused.returncode == 1
    last = refused.stderr.strip().splitlines()[-1]
    assert f"corsika-99999.tar.gz has SHA-256 {sha256(path)}, not 0000" in last


def test_without_a_tarball_the_build_says_so_in_one_line(images: None) -> None:  # noqa: ARG001
    client = "/usr/bin/docker" if Path("/usr/bin/docker").exists() else "docker"  # an older one may lack BuildKit
    command = [client, "build", "--progress=plain", "--target", "corsika", CHECKOUT / "containers" / "dirac-corsika"]
    environment = os.environ | {"DOCKER_BUILDKIT": "1"}
    done = subprocess.run(command, capture_output=True, text=True, env=environment, check=False)
    assert done.returncode != 0
    errors = [line for line in done.stderr.splitlines() if " error: " in line]
    assert len(errors) == 1
    assert "no CORSIKA tarball: it is licensed" in errors[0]
