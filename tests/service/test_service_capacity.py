"""What a workflow needs against what sites offer: in words, in the form, and in the run that a user places."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from documents import shell, step, workflow
from wes import Wes, serving

from gridcwl.backends.base import QueueOffer, SiteOffer
from gridcwl.cwl.step_requirements import StepRequirements
from gridcwl.errors import ConfigError
from gridcwl.service import capacity, sites
from gridcwl.service.capacity import SiteGroup, chosen_sites, match, site_groups
from gridcwl.service.catalogue_runs import recent_runs
from gridcwl.service.db import Viewer
from gridcwl.service.run_settings import completed
from gridcwl.service.settings import load

SMALL = QueueOffer(cores=2, ram_mib=4096)
LARGE = QueueOffer(cores=16, ram_mib=65536, cpu_time_s=86400)
GPU = QueueOffer(cores=16, ram_mib=65536, tags=("GPU",))
GRID = [
    SiteOffer("LCG.Lyon.fr", (LARGE,)),
    SiteOffer("LCG.Bari.it", (SMALL, LARGE)),
    SiteOffer("LCG.Turin.it", (GPU,)),
    SiteOffer("LCG.CERN.ch", (LARGE,), status="Banned", is_open=False),
    SiteOffer("CLOUD.One.pl", (SMALL,)),
    SiteOffer("CLOUD.Two.pl", (SMALL,)),
]
NEEDS = StepRequirements(name="simulate", cores=4, ram_mib=8000)


def words(*steps: StepRequirements, offers: list[SiteOffer] | None = None) -> tuple[str, tuple[str, ...]]:
    found = match(steps, offers or GRID, site_groups(offers or GRID, ()))
    return found.summary, found.details


def test_it_is_said_how_many_sites_can_run_it_and_why_others_cannot():
    summary, details = words(NEEDS)
    assert summary == "3 sites can run this, 1 has a GPU."
    assert details == (
        "None in CLOUD, because its jobs have at most 2 cores, and the step simulate needs 4.",
        "Not LCG.CERN.ch: it takes no jobs now (Banned).",
    )


@pytest.mark.parametrize(
    ("step", "reason"),
    [
        (StepRequirements(name="a", ram_mib=5000), "at most 4.29 GB of memory, and the step a needs 5.24 GB"),
        (StepRequirements(name="a", gpus=1), "it has no GPU, and the step a needs one"),
        (StepRequirements(name="a", tags=("SSD",)), "it does not have the tag SSD"),
        (StepRequirements(name="a", sites=("LCG.Lyon.fr",)), "the step a runs at LCG.Lyon.fr only"),
        (StepRequirements(name="a", banned=("CLOUD.One.pl", "CLOUD.Two.pl")), "the step a excludes it"),
    ],
)
def test_each_kind_of_requirement_can_rule_a_site_out(step: StepRequirements, reason: str):
    _, details = words(step)
    assert any("CLOUD" in line and reason in line for line in details), details


def test_the_time_of_a_job_and_queues_for_others_rule_sites_out():
    long = StepRequirements(name="long", time_s=100_000)
    assert "its jobs have at most 1 d 0:00:00" in capacity.why_not([long], SiteOffer("a", (LARGE,)))
    reserved = SiteOffer("a", (QueueOffer(required_tags=("BIG",)),))
    assert "only for jobs with the tag BIG" in capacity.why_not([long], reserved)
    two = StepRequirements(name="two", gpus=2)
    assert "it has 1 GPU, and the step two needs 2" in capacity.why_not([two], SiteOffer("a", (QueueOffer(gpus=1),)))


def test_what_a_site_does_not_say_rules_nothing_out():
    assert capacity.why_not([NEEDS], SiteOffer("a")) == ""
    assert capacity.why_not([NEEDS], SiteOffer("a", (QueueOffer(),))) == ""


def test_hints_give_way_where_jobs_get_what_there_is():
    hinted = StepRequirements(name="a", cores=64, gpus=1, hints=("resources", "gpus"))
    small = SiteOffer("this machine", (QueueOffer(cores=2, gpus=0),), hints_give_way=True)
    assert capacity.why_not([hinted], small) == ""
    assert capacity.why_not([StepRequirements(name="a", gpus=1)], small) != ""


def test_one_site_and_no_site_are_said_in_words_of_their_own():
    machine = [SiteOffer("this machine", (SMALL,))]
    assert words(NEEDS, offers=machine)[0].startswith("this machine cannot run this: its jobs have at most 2 cores")
    assert match([NEEDS], [], []).summary == "The backend does not say which sites there are."
    assert words(StepRequirements(name="a", cores=99))[0] == "None of the 6 sites can run this."


def test_facilities_are_the_operators_or_the_grids_of_the_names():
    assert [group.name for group in site_groups(GRID, ())] == ["LCG", "CLOUD"]
    italy = SiteGroup("Italy", ("*.it",), "INFN")
    assert site_groups(GRID, [italy]) == [SiteGroup("Italy", ("LCG.Bari.it", "LCG.Turin.it"), "INFN")]


def test_a_choice_is_of_sites_facilities_or_gpus_and_leaves_out_what_cannot_run_it():
    groups = site_groups(GRID, ())
    assert chosen_sites(["LCG"], GRID, groups, [NEEDS]) == ("LCG.Lyon.fr", "LCG.Bari.it", "LCG.Turin.it")
    assert chosen_sites(["GPU"], GRID, groups, [NEEDS]) == ("LCG.Turin.it",)
    assert chosen_sites(["CLOUD.One.pl", "LCG.Lyon.fr"], GRID, groups, [NEEDS]) == ("LCG.Lyon.fr",)
    with pytest.raises(ValueError, match="no site or facility 'Mars'"):
        chosen_sites(["Mars"], GRID, groups, [])
    with pytest.raises(ValueError, match="none of the sites in CLOUD can run it"):
        chosen_sites(["CLOUD"], GRID, groups, [NEEDS])


def test_facilities_need_names_of_their_own(tmp_path: Path):
    with pytest.raises(ConfigError, match="used twice"):
        load(None, {"folder": tmp_path, "facilities": [{"name": "A", "sites": []}, {"name": "A", "sites": []}]})


# -- of the service ----------------------------------------------------------------------------------------------------

BIG = {
    **workflow(
        {"word": "string"},
        {},
        simulate=step(
            shell(
                "true",
                requirements={
                    "ResourceRequirement": {"coresMin": 4, "ramMin": 8000, "tmpdirMin": 1000, "outdirMin": 24},
                    "DockerRequirement": {"dockerPull": "debian:stable-slim"},
                    "ToolTimeLimit": {"timelimit": 600},
                },
                inputs={"word": "string"},
            ),
            word="word",
        ),
    ),
    "label": "A large one",
}


@pytest.fixture(scope="module")
def grid(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Wes]:
    folder = tmp_path_factory.mktemp("catalogue")
    (folder / "big.cwl").write_text(json.dumps(BIG))
    runs = {"dirac": {"mode": "local", "cpu_time": 99}, "backend": "dirac"}
    with serving(tmp_path_factory.mktemp("service"), catalogue=[str(folder)], runs=runs, max_queued=100) as wes:
        wes.service.driver.wake = lambda: None  # runs stay in the queue: there is no grid
        yield wes


@pytest.fixture(autouse=True)
def offers(monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest) -> None:
    if "grid" in request.fixturenames:
        monkeypatch.setattr(sites.plugins, "call", lambda *_: GRID)


def csrf(page: str) -> str:
    found = re.search(r'name="csrf" value="([^"]+)"', page)
    assert found is not None
    return found[1]


def form(grid: Wes) -> Any:
    return grid.http.post("/catalogue/big", data={"csrf": csrf(grid.http.get("/catalogue").text)})


def test_the_catalogue_shows_what_each_step_needs_and_where_it_can_run(grid: Wes):
    page = grid.http.get("/catalogue").text
    for text in (
        "3 sites can run this, 1 has a GPU.",
        "None in CLOUD, because its jobs have at most 2 cores",
        "4 cores, 8.39 GB memory, 1.07 GB disk, up to 0:10:00",
        "debian:stable-slim",
    ):
        assert text in page, text


def test_the_form_offers_facilities_and_sites_with_what_they_have(grid: Wes):
    page = form(grid).text
    assert '<option value="LCG">LCG: 3 of 4 sites</option>' in page
    assert '<option value="CLOUD" disabled>' in page
    assert '<option value="GPU">sites with a GPU: 1</option>' in page
    assert "LCG.Turin.it: 16 cores, 68.7 GB memory, GPU" in page


def test_the_choice_is_passed_to_the_run(grid: Wes):
    shown = form(grid)
    sent = {"csrf": csrf(shown.text), "input:word": "a", "site": "GPU"}
    run = grid.http.post(str(shown.url), data=sent, follow_redirects=False).headers["location"].rpartition("/")[2]
    stored = grid.service.db.get(run)
    assert stored.settings["sites"] == ["LCG.Turin.it"]
    assert completed(stored.settings, grid.service.settings)["dirac"] == {
        "mode": "local",
        "cpu_time": 99,
        "sites": ["LCG.Turin.it"],
    }
    again = grid.http.get(f"/runs/{run}/again").text
    assert '<option value="GPU" selected>' in again


@pytest.mark.parametrize(("choice", "why"), [("CLOUD", "none of the sites in CLOUD can run it"), ("Mars", "Mars")])
def test_a_choice_that_cannot_be_is_refused_in_the_form(grid: Wes, choice: str, why: str):
    shown = form(grid)
    sent = {"csrf": csrf(shown.text), "input:word": "a", "site": choice}
    answer = grid.http.post(str(shown.url), data=sent)
    assert answer.status_code == 422
    assert why in answer.text


def test_clients_of_wes_choose_with_an_engine_parameter(grid: Wes):
    parameters = json.dumps({"--site": "LCG.Lyon.fr,CLOUD"})
    run = grid.submit(BIG, {"word": "a"}, workflow_engine_parameters=parameters)
    assert grid.service.db.get(run).settings["sites"] == ["LCG.Lyon.fr", "CLOUD.One.pl", "CLOUD.Two.pl"]
    refused = grid.post(BIG, {"word": "a"}, workflow_engine_parameters=json.dumps({"--site": "LCG.CERN.ch"}))
    assert refused.status_code == 400
    assert "it takes no jobs now (Banned)" in refused.json()["msg"]


def test_programs_find_the_same_in_the_api(grid: Wes):
    (offer,) = grid.http.get("/api/v1/catalogue").json()["workflows"]
    assert (offer["name"], offer["label"], offer["problem"]) == ("big", "A large one", "")
    assert offer["sites"] == ["LCG.Lyon.fr", "LCG.Bari.it", "LCG.Turin.it"]
    assert offer["steps"][0]["ram_mib"] == 8000
    assert grid.http.get("/api/v1/catalogue/big").json() == offer
    assert grid.http.get("/api/v1/catalogue/none").status_code == 404
    found = grid.http.get("/api/v1/facilities").json()
    assert [(one["name"], one["gpu"], one["kind"]) for one in found["facilities"]] == [
        ("LCG", True, "dirac"),
        ("CLOUD", False, "dirac"),
    ]
    assert found["sites"][2]["offers"] == "16 cores, 68.7 GB memory, GPU"
    assert grid.http.post("/api/v1/catalogue/refresh").json() == {"problems": {}}


def test_where_there_is_one_place_there_is_no_choice(tmp_path: Path):
    (tmp_path / "c").mkdir()
    (tmp_path / "c" / "small.cwl").write_text(json.dumps(shell("true", inputs={})))
    with serving(tmp_path, catalogue=[str(tmp_path / "c")]) as wes:
        assert "this machine can run this" in wes.http.get("/catalogue").text
        page = wes.http.post("/catalogue/small", data={"csrf": csrf(wes.http.get("/catalogue").text)}).text
        assert 'name="site"' not in page


@pytest.mark.docker
def test_the_cost_of_recent_runs_is_shown_to_whoever_may_see_them(tmp_path: Path):
    (tmp_path / "c").mkdir()
    image = {"DockerRequirement": {"dockerPull": "debian:stable-slim"}}
    for name in ("small", "other"):
        (tmp_path / "c" / f"{name}.cwl").write_text(json.dumps(shell("cat /etc/passwd", requirements=image)))
    with serving(tmp_path, catalogue=[str(tmp_path / "c")]) as wes:
        shown = wes.http.post("/catalogue/small", data={"csrf": csrf(wes.http.get("/catalogue").text)})
        sent = wes.http.post(str(shown.url), data={"csrf": csrf(shown.text)}, follow_redirects=False)
        wes.ended(sent.headers["location"].rpartition("/")[2])
        wes.run(shell("true", requirements=image), tags=json.dumps({"workflow": "other"}))  # only says that it is
        page = wes.http.get("/catalogue").text
        assert page.count("CPU hours") == 1
        assert "The last run was complete. It took:" in page
        assert "0 of 1 jobs" in page
        stranger = Viewer("eve", frozenset(), may_submit=True, sees_all=False)
        assert recent_runs(wes.service, stranger) == {}
