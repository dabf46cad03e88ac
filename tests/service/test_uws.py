"""IVOA UWS 1.1 over the workflows of the catalogue: by requests, and by pyvo."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any
from xml.etree import ElementTree as ET

import pytest
from issuing import issuing
from lxml import etree
from pyvo.dal.adhoc import DatalinkResults
from pyvo.dal.tap import AsyncTAPJob, TAPService
from pyvo.io.uws import parse_job
from waiting import until
from wes import Wes, in_thread, serving

from gridcwl.service.uws import jobs

ROOT = Path(__file__).parents[2]
PLACES = [os.environ.get("IVOA_SCHEMAS", ""), str(ROOT.parent / "shared" / "recipes" / "service" / "spec")]
ENDS = ("COMPLETED", "ERROR", "ABORTED")
GREETING: dict[str, Any] = {
    "cwlVersion": "v1.2",
    "class": "ExpressionTool",
    "label": "Greets & counts",
    "requirements": {"InlineJavascriptRequirement": {}},
    "inputs": {
        "name": "string",
        "times": {"type": "int", "default": 1},
        "words": "string[]?",
        "text": {"type": "File?", "loadContents": True},
        "mood": {"type": ["null", {"type": "enum", "symbols": ["glad", "sad"]}]},
    },
    "outputs": {"said": "string", "file": "File"},
    "expression": "${ if (inputs.times < 0) throw new Error('no <b>such</b> number');"
    " var said = inputs.name + inputs.times + (inputs.words || []).join() + (inputs.text ? inputs.text.contents : '');"
    " return {said: said, file: {class: 'File', basename: 'said.txt', contents: said}}; }",
}


@pytest.fixture(scope="module")
def catalogue(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("catalogue")
    (folder / "greeting.cwl").write_text(json.dumps(GREETING))
    (folder / "broken.cwl").write_text("cwlVersion: v1.2\nclass: Workflow\n")
    return folder


@pytest.fixture(scope="module")
def wes(tmp_path_factory: pytest.TempPathFactory, catalogue: Path) -> Iterator[Wes]:
    with serving(tmp_path_factory.mktemp("service"), catalogue=[str(catalogue)]) as client:
        yield client


@pytest.fixture(scope="module")
def schema() -> etree.XMLSchema:
    """UWS's schema, if this machine has it."""
    found = [Path(place) / "UWS-1.1.xsd" for place in PLACES if place and (Path(place) / "UWS-1.1.xsd").is_file()]
    if not found:
        pytest.skip("there is no UWS-1.1.xsd: IVOA_SCHEMAS names its folder")
    document = etree.parse(found[0])
    for imported in document.iter("{http://www.w3.org/2001/XMLSchema}import"):
        if "xlink" in imported.get("namespace", ""):
            imported.set("schemaLocation", (found[0].parent / "xlink-minimal.xsd").as_uri())
    return etree.XMLSchema(document)


def created(wes: Wes, fields: Any = None, where: str = "/uws/greeting/async", **options: Any) -> str:
    """The path of a new job."""
    answer = wes.http.post(where, data=fields or {"name": "Ada"}, follow_redirects=False, **options)
    assert answer.status_code == 303, answer.text
    return str(answer.headers["location"]).removeprefix("http://127.0.0.1")


def phase(wes: Wes, job: str) -> str:
    return str(wes.http.get(f"{job}/phase").text)


def ended(wes: Wes, job: str) -> Any:
    """The job, as pyvo reads it, once it has ended."""
    until(lambda: phase(wes, job) in ENDS)
    return read(wes.http.get(job).content)


def read(document: bytes) -> Any:
    import io

    return parse_job(io.BytesIO(document))


@pytest.mark.node
def test_a_job_is_created_started_and_leaves_results(wes: Wes):
    job = created(wes, {"NAME": "Ada", "times": "2", "words": ["a", "b"], "RUNID": "mine"})
    pending = wes.http.get(job).content
    assert (read(pending).phase, read(pending).runid) == ("PENDING", "mine")
    assert wes.http.get(f"{job}/parameters/words").text == "a\nb"

    answer = wes.http.post(f"{job}/phase", data={"PHASE": "RUN"}, follow_redirects=False)
    assert (answer.status_code, answer.headers["location"]) == (303, f"http://127.0.0.1{job}")
    done = ended(wes, job)

    assert done.phase == "COMPLETED", wes.http.get(job).text
    said = wes.http.get(f"{job}/results/outputs").json()["said"]
    assert said == "Ada2a,b"
    assert wes.http.get(f"{job}/results/file").text == said
    sizes = {one.get("id"): one.get("size") for one in ET.fromstring(wes.http.get(f"{job}/results").content)}
    assert sizes["file"] == str(len(said))
    assert wes.get(f"/runs/{job.rpartition('/')[2]}/status").json()["state"] == "COMPLETE"  # the same run by WES


@pytest.mark.node
def test_a_job_may_start_at_once_with_a_file_in_the_request(wes: Wes):
    fields = {"name": "x", "PHASE": "RUN", "WORKFLOW": "greeting", "text": "param:upload"}
    job = created(wes, fields, "/uws/async", files={"upload": ("t.txt", b" of a file")})
    assert job.startswith("/uws/async/")
    assert ended(wes, job).phase == "COMPLETED"
    assert wes.http.get(f"{job}/results/outputs").json()["said"] == "x1 of a file"


@pytest.mark.node
def test_a_failed_job_is_found_and_says_why(wes: Wes):
    job = created(wes, {"name": "x", "times": "-1", "PHASE": "RUN"})
    assert ended(wes, job).phase == "ERROR"
    answer = wes.http.get(job)
    assert answer.status_code == 200
    summary = ET.fromstring(answer.content).find("{*}errorSummary")
    assert summary is not None
    assert summary.get("type") == "fatal"
    assert "no <b>such</b> number" in wes.http.get(f"{job}/error").text


@pytest.mark.node
def test_all_documents_are_valid(wes: Wes, schema: etree.XMLSchema):
    pending, failed = created(wes, {"RUNID": "<&\x07"}), created(wes, {"name": "x", "times": "-1", "PHASE": "RUN"})
    done = created(wes, {"name": "x", "PHASE": "RUN"})
    assert (ended(wes, failed).phase, ended(wes, done).phase) == ("ERROR", "COMPLETED")
    parts = ("parameters", "results")
    for path in (pending, failed, done, "/uws/async", "/uws/greeting/async", *(f"{done}/{part}" for part in parts)):
        assert schema.validate(etree.fromstring(wes.http.get(path).content)), (path, schema.error_log)


def test_wait_blocks_until_the_phase_changes(wes: Wes):
    job = created(wes)
    with ThreadPoolExecutor(1) as pool:
        waiting = pool.submit(wes.http.get, job, params={"WAIT": "-1"})
        assert (
            wes.http.get(job, params={"WAIT": "-1", "PHASE": "EXECUTING"}).status_code == 200
        )  # it is another already
        assert not waiting.done()
        wes.http.post(f"{job}/phase", data={"PHASE": "ABORT"})
        assert read(waiting.result(timeout=60).content).phase == "ABORTED"
    assert read(wes.http.get(job, params={"WAIT": "-1"}).content).phase == "ABORTED"  # nothing follows


def test_parameters_are_set_until_it_runs(wes: Wes):
    job = created(wes, {"name": "before"})
    assert wes.http.post(f"{job}/parameters", data={"name": "after", "mood": "sad"}).status_code == 200
    assert wes.http.get(f"{job}/parameters/name").text == "after"
    wes.http.post(f"{job}/phase", data={"PHASE": "ABORT"})
    refused = wes.http.post(f"{job}/parameters", data={"name": "late"})
    assert (refused.status_code, "ABORTED" in refused.text) == (403, True)


@pytest.mark.parametrize(
    ("fields", "named"),
    [
        ({"nme": "x"}, "no input nme"),
        ({"name": "x", "text": "param:none"}, "no such part"),
        ({"name": "x", "PHASE": "GO"}, "RUN or ABORT"),
    ],
)
def test_a_wrong_request_is_refused_in_a_sentence(wes: Wes, fields: dict[str, str], named: str):
    answer = wes.http.post("/uws/greeting/async", data=fields, follow_redirects=False)
    assert answer.status_code == 400
    assert answer.headers["content-type"].startswith("text/plain")
    assert named in answer.text


@pytest.mark.parametrize(
    ("fields", "named"),
    [
        ({"times": "1"}, "name: Give a value"),
        ({"name": "x", "times": "many"}, "times: "),
        ({"name": "x", "mood": "<wild>"}, "mood: "),
        ({"name": "x", "text": "file:///etc/hostname"}, "not below a folder"),
        ({"name": "x", "text": "http://127.0.0.1/x"}, "not below a URL"),
    ],
)
def test_inputs_are_checked_before_it_runs_and_it_stays_pending(wes: Wes, fields: dict[str, str], named: str):
    job = created(wes, fields)
    answer = wes.http.post(f"{job}/phase", data={"PHASE": "RUN"})
    assert (answer.status_code, named in answer.text) == (400, True), answer.text
    assert phase(wes, job) == "PENDING"


def test_what_is_not_there_is_not_found(wes: Wes):
    job = created(wes)
    for path in ("/uws/none/async", "/uws/async/none", f"{job}/results/none", f"{job}/parameters/none"):
        assert wes.http.get(path).status_code == 404, path
    assert wes.http.post("/uws/async", data={"WORKFLOW": "none"}).status_code == 404
    assert "cannot be used" in wes.http.post("/uws/async", data={"WORKFLOW": "broken"}).text


def test_the_list_is_chosen_from_by_phase_time_and_number(wes: Wes):
    first, second = created(wes, {"name": "1"}), created(wes, {"name": "2"})
    wes.http.post(f"{second}/phase", data={"PHASE": "ABORT"})

    def ids(**query: Any) -> list[str]:
        return [str(one.get("id")) for one in ET.fromstring(wes.http.get("/uws/greeting/async", params=query).content)]

    first, second = (job.rpartition("/")[2] for job in (first, second))
    assert ids()[:2] == [second, first]
    assert second not in ids(PHASE="PENDING")
    assert {first, second} <= set(ids(PHASE=["PENDING", "ABORTED"]))
    assert ids(LAST=1) == [second]
    assert ids(AFTER="2100-01-01T00:00:00") == []
    assert {first, second} <= set(ids(AFTER="2020-01-01T00:00:00Z"))
    for query in ({"LAST": "0"}, {"AFTER": "yesterday"}, {"PHASE": "LOST"}):
        assert wes.http.get("/uws/async", params=query).status_code == 400


@pytest.mark.node
@pytest.mark.parametrize("ways", ["DELETE", "POST"])
def test_a_deleted_job_is_gone_but_its_run_is_kept(wes: Wes, ways: str):
    job = created(wes, {"name": "x", "PHASE": "RUN"})
    ended(wes, job)
    if ways == "DELETE":
        assert wes.http.delete(job).status_code == 200
    else:
        assert wes.http.post(job, data={"ACTION": "DELETE"}).status_code == 200
    assert wes.http.get(job).status_code == 404
    assert job.rpartition("/")[2] not in wes.http.get("/uws/async").text
    assert wes.state(job.rpartition("/")[2]) == "COMPLETE"


def test_jobs_that_are_never_started_do_not_fill_the_service(wes: Wes, monkeypatch: pytest.MonkeyPatch):
    job = created(wes)
    monkeypatch.setattr(jobs, "_MOST_PENDING", 1)
    monkeypatch.setattr(jobs, "_MOST_BYTES", 10)
    refused = wes.http.post("/uws/greeting/async", data={"name": "x"})
    assert (refused.status_code, "start or delete some" in refused.text) == (429, True)
    assert wes.http.post(f"{job}/parameters", data={"name": "x" * 11}).status_code == 413


@pytest.mark.parametrize(
    "query",
    ["WAIT=%C2%B2", "WAIT=-2", "WAIT=1.5", "WAIT=99999999999", "WAIT=%D9%A3", "WAIT=0&PHASE=LOST"],
)
def test_a_wait_that_is_no_time_is_refused(wes: Wes, query: str):
    assert wes.http.get(f"{created(wes)}?{query}").status_code == 400


@pytest.mark.parametrize(
    "job", ["..", "%2e%2e", "%00", "a%00b", "x" * 5000, "é", "'%20OR%201=1--", "..%2f..", "%ff", "%0d%0a"]
)
def test_hostile_names_of_jobs_are_not_found(wes: Wes, job: str):
    for path in (f"/uws/greeting/async/{job}", f"/uws/async/{job}/phase", f"/uws/async/{job}/results/x"):
        assert wes.http.get(path).status_code == 404
    assert wes.http.post(f"/uws/async/{job}/phase", data={"PHASE": "RUN"}).status_code == 404
    assert wes.http.delete(f"/uws/async/{job}").status_code == 404
    assert wes.http.get(f"/uws/{job}/async").status_code == 404


@pytest.mark.node
@pytest.mark.parametrize("part", ["../../x", "..", ".", "u" * 3000, "é" * 100, "a/b", "%2e%2e"])
def test_hostile_names_of_parts_stay_in_the_jobs_folder(wes: Wes, part: str):
    fields = {"name": "x", "text": f"param:{part}", "PHASE": "RUN"}
    missing = wes.http.post("/uws/greeting/async", data=fields)
    assert (missing.status_code, "no such part" in missing.text) == (400, True)
    job = created(wes, fields, files={part: ("t.txt", b" of a part")})
    assert ended(wes, job).phase == "COMPLETED"
    assert wes.http.get(f"{job}/results/outputs").json()["said"] == "x1 of a part"


@pytest.mark.parametrize(
    "place", ["file:///etc/passwd", "/etc/passwd", "../../../etc/passwd", "http://169.254.169.254/", "ftp://a/b"]
)
def test_files_of_the_machine_and_of_other_hosts_are_no_inputs(wes: Wes, place: str):
    answer = wes.http.post("/uws/greeting/async", data={"name": "x", "text": place, "PHASE": "RUN"})
    assert answer.status_code == 400, answer.text


def test_jobs_of_others_are_not_there_and_vosi_is_everybodys(tmp_path: Path, catalogue: Path):
    with issuing() as issuer, serving(tmp_path, catalogue=[str(catalogue)], auth=issuer.auth(tmp_path)) as wes:
        job = created(wes, headers=issuer.bearer("ann"))
        eve = issuer.bearer("eve")
        for part in ("", "/phase", "/parameters", "/parameters/name", "/owner", "/results", "/error", "/destruction"):
            assert wes.http.get(f"{job}{part}", headers=eve).status_code == 404, part
        for part, data in (
            ("/phase", {"PHASE": "RUN"}),
            ("/phase", {"PHASE": "ABORT"}),
            ("/parameters", {"name": "eve"}),
            ("", {"ACTION": "DELETE"}),
            ("/destruction", {"DESTRUCTION": "2030-01-01"}),
        ):
            assert wes.http.post(f"{job}{part}", data=data, headers=eve).status_code == 404, part
        assert wes.http.delete(job, headers=eve).status_code == 404
        assert b"jobref" not in wes.http.get("/uws/async", headers=eve).content
        assert wes.http.get(f"{job}/phase", headers=issuer.bearer("ann")).text == "PENDING"

        for path in (job, "/uws/async", "/uws/greeting/async", "/datalink/links?ID=x"):
            assert wes.http.get(path).status_code == 401, path
        assert ET.fromstring(wes.http.get("/uws/availability").content)[0].text == "true"
        assert "sso#OAuth" in wes.http.get("/uws/greeting/capabilities").text


def test_limits_are_the_services(wes: Wes):
    job = created(wes)
    wes.http.post(f"{job}/executionduration", data={"EXECUTIONDURATION": "60"})
    wes.http.post(f"{job}/destruction", data={"DESTRUCTION": "2030-01-01T00:00:00Z"})
    for part, value in (("executionduration", "a while"), ("destruction", "tomorrow")):
        assert wes.http.post(f"{job}/{part}", data={part.upper(): value}).status_code == 400
    assert wes.http.get(f"{job}/executionduration").text == "0"
    assert read(wes.http.get(job).content).destruction is None


def test_vosi_names_the_interfaces(wes: Wes):
    assert "http://127.0.0.1/uws/greeting/async" in wes.http.get("/uws/greeting/capabilities").text
    assert ET.fromstring(wes.http.get("/uws/availability").content)[0].text == "true"


@pytest.mark.node
def test_pyvo_runs_a_job_and_lists_it(tmp_path: Path, catalogue: Path):
    with in_thread(tmp_path, catalogue=[str(catalogue)]) as served:
        base = str(served.http.base_url).rstrip("/") + "/uws/greeting"
        answer = served.http.post(f"{base}/async", data={"name": "pyvo"})
        job = AsyncTAPJob(str(answer.headers["location"]))
        assert job.phase == "PENDING"
        job.run().wait(phases={"COMPLETED", "ERROR"}, timeout=120)
        job.raise_if_error()
        assert [uri.rpartition("/")[2] for uri in job.result_uris] == ["outputs", "said.txt"]
        assert [one.jobid for one in TAPService(base).get_job_list()] == [job.job_id]
        assert TAPService(base).get_job_list(phases=["PENDING"]) == []
        job.delete()
        assert TAPService(base).get_job_list() == []


def test_pyvo_finds_the_workflow_that_runs_on_a_dataset(tmp_path: Path, catalogue: Path):
    with in_thread(tmp_path, catalogue=[str(catalogue)]) as served:
        base = str(served.http.base_url).rstrip("/")
        dataset = "rucio://escape/a<b>&c"
        found = DatalinkResults.from_result_url(f"{base}/datalink/links?ID={dataset.replace('&', '%26')}")
        (link,) = found  # bysemantics() would fetch a vocabulary from the internet
        assert link["semantics"] == "#proc"
        assert (link["ID"], link["service_def"]) == (dataset, "run-greeting")
        service = found.get_adhocservice_by_id("run-greeting")
        values = {param.name: param.value for param in service.params}
        assert values["accessURL"] == f"{base}/uws/greeting/async"
        (group,) = service.groups
        inputs = {param.name: param for param in group.entries}
        assert sorted(inputs) == ["mood", "name", "text", "times", "words"]
        assert inputs["times"].datatype == "int"
        assert inputs["text"].ref == "dataset"
        assert "rucio" not in str(inputs["name"].ref)
