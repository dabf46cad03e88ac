"""A production of CORSIKA by somebody who only has a login: from the catalogue's page to its end, on the testbed.

The jobs are DIRAC's, with the service's own proxy; the files are the user's own in Rucio. The program is a stand-in:
it writes files of the real one's form, without its physics.
"""

from __future__ import annotations

import os
import re
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from browser import chromium
from grid_site import jobs_at_dirac
from playwright.sync_api import Page, expect, sync_playwright
from wes import Wes, in_thread

from .conftest import CWL
from .stand_ins import build, docker

if TYPE_CHECKING:
    from gridcwl.testbed.dirac.service import DiracService
    from gridcwl.testbed.rucio.service import RucioService
    from gridcwl.testbed.testbed import Testbed

pytestmark = [
    *(pytest.mark.timeout(600), pytest.mark.dirac, pytest.mark.rucio, pytest.mark.docker, pytest.mark.browser),
]
PATIENCE_MS = 300_000
IMAGE = f"gridcwl-test/corsika:on-the-grid-{os.environ.get('PYTEST_XDIST_WORKER', 'alone')}"
PROGRAM = """\
#!/usr/bin/env python3
import struct, sys
card = {words[0]: words[1:] for words in map(str.split, sys.stdin) if words}
run, showers, first = (int(float(card[key][0])) for key in ("RUNNR", "NSHOW", "EVTNR"))
blocks = []
def block(tag, **at):
    values = [0.0] * 273
    for place, value in at.items():
        values[int(place[1:])] = value
    blocks.append(tag + struct.pack("<272f", *values[1:]))
block(b"RUNH", _1=run, _2=260101, _3=7.75)
for event in range(first, first + showers):
    about = {"_2": float(card["PRMPAR"][0]), "_3": float(card["ERANGE"][0])}
    block(b"EVTH", _1=event, _43=run, _44=260101, _45=7.75, **about)
    block(b"EVTE", _1=event)
block(b"RUNE", _1=run, _2=showers)
with open(f"DAT{run:06d}", "wb") as out:
    for at in range(0, len(blocks), 21):
        data = b"".join(blocks[at:at + 21]).ljust(21 * 273 * 4, b"\\0")
        out.write(struct.pack("<i", len(data)) + data + struct.pack("<i", len(data)))
print(f" NUMBER OF GENERATED EVENTS = {showers:10d}\\n ========== END OF RUN ================")
"""


@pytest.fixture
def corsika(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[str]:
    """The operator's image, with a program that reads a card as CORSIKA does and writes a run of its form."""
    request.getfixturevalue("images")
    (tmp_path / "image").mkdir()
    (tmp_path / "image" / "Dockerfile").write_text("FROM gridcwl/dirac-corsika:0.1.0\nCOPY corsika /usr/local/bin/\n")
    (tmp_path / "image" / "corsika").write_text(PROGRAM)
    (tmp_path / "image" / "corsika").chmod(0o755)
    made = build("--tag", IMAGE, tmp_path / "image")
    assert made.returncode == 0, made.stderr
    yield IMAGE
    docker("rmi", "--force", IMAGE)


@pytest.fixture
def workflows(corsika: str, tmp_path: Path) -> Path:
    """The operator's catalogue: CORSIKA's production with the image of this place."""
    folder = tmp_path / "cwl"
    (folder / "workflows").mkdir(parents=True)
    shutil.copytree(CWL / "tools", folder / "tools", ignore=shutil.ignore_patterns("tests"))
    shutil.copy(CWL / "workflows" / "corsika-production.cwl", folder / "workflows")
    tool = folder / "tools" / "corsika.cwl"
    tool.write_text(tool.read_text().replace("gridcwl/corsika:local", corsika))
    return folder


@pytest.fixture
def wes(
    testbed: Testbed,
    dirac: DiracService,
    rucio: RucioService,
    workflows: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> Iterator[Wes]:
    from rucio.common.config import clean_cached_config

    from gridcwl.testbed.oidc.service import CLIENT
    from gridcwl.testbed.oidc.tokens import SCOPES
    from gridcwl.testbed.secrets import secret

    for name, value in {**rucio.clients.exports("runner"), **dirac.exports()}.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", str(testbed.authority.ca_certificate))
    monkeypatch.setenv("SSL_CERT_FILE", str(testbed.authority.ca_certificate))
    monkeypatch.delenv("GRIDCWL_ENGINE", raising=False)
    (tmp_path / "config.toml").write_text('[dirac.engines]\n"*" = ["docker"]\n')
    monkeypatch.setenv("GRIDCWL_CONFIG", str(tmp_path / "config.toml"))
    clean_cached_config()
    (tmp_path / "secret").write_text(secret(testbed.place, "oidc-client"))
    auth = {
        "issuer": testbed.service("oidc").url,  # type: ignore[attr-defined]
        "audience": "gridcwl",
        "client_id": CLIENT,
        "client_secret_file": str(tmp_path / "secret"),
        "login_audience": "gridcwl",
    }
    credentials = {"dirac": "service", "rucio": "token", "exchange": {"audience": "rucio", "scope": SCOPES}}
    runs = {"backend": "dirac", "store": "rucio", "rucio": {"rse": "LYON-DISK"}}
    with in_thread(
        tmp_path,
        auth=auth,
        credentials=credentials,
        runs=runs,
        catalogue=[str(workflows / "workflows")],
        file_roots=[str(workflows)],
    ) as made:
        yield made
    clean_cached_config()


@pytest.fixture
def page(wes: Wes) -> Iterator[Page]:
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=chromium(), args=["--no-sandbox"])
        context = browser.new_context(base_url=str(wes.http.base_url), ignore_https_errors=True)
        context.set_default_timeout(60_000)
        yield context.new_page()
        browser.close()


def test_who_only_has_a_login_runs_a_production_from_the_page_to_its_end(page: Page, dirac_clients: Any, log_in: Any):
    page.goto("/catalogue")  # and to the issuer and back
    offer = page.get_by_role("region", name="CORSIKA production")
    expect(offer).to_contain_text("can run this")
    offer.get_by_role("button", name="Run").click()

    page.get_by_label("Primary particle").select_option("proton")
    page.get_by_label("Upload", exact=True).set_input_files(CWL / "data" / "four-telescopes.yml")
    page.get_by_label("Showers in each run").fill("3")
    page.locator("#name").fill("night-1")
    page.get_by_role("button", name="Submit").click()

    state = page.locator("h1 .state")
    expect(state).to_have_text(re.compile("complete|failed|error|cancelled"), timeout=PATIENCE_MS)
    assert state.inner_text().strip() == "complete", page.get_by_role("main").inner_text()
    run = page.url.rpartition("/")[2]
    expect(page.get_by_role("main")).to_contain_text("DAT000001")
    jobs = jobs_at_dirac(dirac_clients, run)
    assert len(jobs) == 3

    (data,) = page.request.get(f"/ga4gh/wes/v1/runs/{run}").json()["outputs"]["data"]
    scope, name = data["location"].removeprefix("rucio://").split("/", 1)
    user = scope.removeprefix("user.")
    assert user != "runner", "the service's own account"
    assert {job["OwnerGroup"] for job in jobs.values()} == {"gridcwl_user"}

    page.goto("/catalogue")
    expect(offer).to_contain_text("The last run was complete")
    expect(offer).to_contain_text("night-1")
    assert log_in(user).get_did(scope, name)["account"] == user  # from here on, this process is the user at Rucio
