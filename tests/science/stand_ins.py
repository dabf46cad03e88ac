"""Stand-ins for the licensed programs, of the same layout and the same file contracts: without their physics."""

from __future__ import annotations

import contextlib
import hashlib
import io
import json
import os
import subprocess
import tarfile
from pathlib import Path

from .conftest import CHECKOUT, CWL

# each of pytest's processes makes and removes its own
_MINE = os.environ.get("PYTEST_XDIST_WORKER", "alone")
IMAGE = f"gridcwl-test/corsika:stand-in-{_MINE}"
TELESCOPES = f"gridcwl-test/sim_telarray:stand-in-{_MINE}"
SIMPIPE = CHECKOUT / "containers" / "simpipe-parametrised" / "src" / "simpipe"
CONFIG = "#define __STANDIN__ 1\n"
COCONUT = """\
#!/bin/sh
# what the real coconut is asked for: no question, and the options of config.h
[ "${CORSIKA_USER_COMP:-}" = 1 ] && [ "$1" = --expert ] || { echo "coconut asks questions" >&2; exit 1; }
grep -q __STANDIN__ include/config.h || { echo "no options in include/config.h" >&2; exit 1; }
gcc -O1 -o run/corsika99999Linux_STANDIN src/corsika.c
"""
PROGRAM = r"""
/* A stand-in: reads a card as CORSIKA does, and writes a run of that form with nothing in it; and, where the card has a
   TELFIL, the light that the parametrised simulation makes of that card. */
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
    static char card[65536], command[1024];
    char line[512], key[64], tables[512] = "", table[600], name[64], light[256] = "";
    double a, b; int run = 0, showers = 0, first = 1, primary = 0, i; double energy = 0;
    FILE *data;
    while (fgets(line, sizeof line, stdin)) {
        strcat(card, line);
        if (sscanf(line, "%63s %lf %lf", key, &a, &b) < 1) continue;
        if (!strcmp(key, "EXIT")) break;
        if (!strcmp(key, "RUNNR")) run = a;
        if (!strcmp(key, "NSHOW")) showers = a;
        if (!strcmp(key, "EVTNR")) first = a;
        if (!strcmp(key, "PRMPAR")) primary = a;
        if (!strcmp(key, "ERANGE")) energy = a;
        if (!strcmp(key, "TELFIL")) sscanf(line, "%*s %200s", light);
        if (!strcmp(key, "DATDIR")) sscanf(line, "%*s %500s", tables);
    }
    sprintf(table, "%s/TABLE", tables); data = fopen(table, "r");
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
    if (*light) {
        out = fopen("card.tmp", "w"); fputs(card, out); fclose(out);
        sprintf(command, "PYTHONPATH=%s python3 -c 'import sys; from simpipe.cli import shower; sys.exit(shower())' "
                "card.tmp -o %s 2>&1", tables, light);
        if (system(command)) { printf("STOP: NO LIGHT\n"); return 0; }
        remove("card.tmp");
    }
    printf(" NUMBER OF GENERATED EVENTS = %10d\n ========== END OF RUN ================\n", showers);
    return 0;
}
"""


SIM_TELARRAY = """\
#!/opt/ctapipe/bin/python3
# A stand-in: the command line of sim_telarray, a configuration of its own, and the parametrised simulation behind it.
import argparse, sys
from simpipe.cli import telescopes
parser = argparse.ArgumentParser()
parser.add_argument("-c", dest="config", default="/opt/array.yml")
parser.add_argument("-I", action="append")
parser.add_argument("-C", dest="settings", action="append", type=lambda text: text.split("=", 1))
parser.add_argument("run")
given = parser.parse_args()
settings = dict(given.settings)
words = ["--array", given.config, "--seed", settings["random_seed"], "--output", settings["output_file"]]
sys.exit(telescopes([given.run, *words]))
"""
DOCKERFILE = """\
FROM gridcwl/simpipe-parametrised:0.1.0
COPY sim_telarray /usr/local/bin/
COPY array.yml /opt/
"""


def tarball(folder: Path) -> Path:
    """corsika-99999.tar.gz: coconut, src/, include/ and run/, as in CORSIKA's own."""
    path = folder / "corsika-99999.tar.gz"
    members = {"coconut": COCONUT, "src/corsika.c": PROGRAM, "include/README": "", "run/TABLE": "1\n"}
    members |= {f"run/simpipe/{module.name}": module.read_text("utf-8") for module in SIMPIPE.glob("*.py")}
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


def build(*arguments: str | Path) -> subprocess.CompletedProcess[str]:
    """``docker build``, with BuildKit."""
    client = "/usr/bin/docker" if Path("/usr/bin/docker").exists() else "docker"  # an older one may lack BuildKit
    command = [client, "build", "--progress=plain", *arguments]
    environment = os.environ | {"DOCKER_BUILDKIT": "1"}
    return subprocess.run(command, capture_output=True, text=True, env=environment, check=False)


def in_layers(image: str) -> list[str]:
    """The names of all files in all layers of an image, those too that a later layer removes."""
    names: list[str] = []
    saving = subprocess.Popen(["docker", "save", image], stdout=subprocess.PIPE)
    with saving, tarfile.open(fileobj=saving.stdout, mode="r|") as parts:
        for part in parts:
            content = parts.extractfile(part) if part.isfile() else None
            # what is no archive is no layer but the configuration, or the list of layers
            with (
                contextlib.suppress(tarfile.ReadError),
                tarfile.open(fileobj=content or io.BytesIO(), mode="r|*") as layer,
            ):
                names += [member.name for member in layer]
    assert saving.returncode == 0
    return names


def make_telescopes(folder: Path) -> None:
    """The image of sim_telarray's stand-in."""
    (folder / "Dockerfile").write_text(DOCKERFILE)
    (folder / "sim_telarray").write_text(SIM_TELARRAY)
    (folder / "sim_telarray").chmod(0o755)
    (folder / "array.yml").write_bytes((CWL / "data" / "four-telescopes.yml").read_bytes())
    made = build("--tag", TELESCOPES, folder)
    assert made.returncode == 0, made.stderr


def overrides(folder: Path, *tools: str) -> Path:
    """A file that has the tools run in these images; it names no tool that the document does not use."""
    images = {"corsika": IMAGE, "sim_telarray": TELESCOPES}
    content = {
        (CWL / "tools" / f"{tool}.cwl").as_uri(): {"requirements": {"DockerRequirement": {"dockerPull": images[tool]}}}
        for tool in tools
    }
    path = folder / "overrides.yml"
    path.write_text(json.dumps({"cwltool:overrides": content}))
    return path
