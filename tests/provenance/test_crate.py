"""``gridcwl export``: a run as a Provenance Run Crate."""

from __future__ import annotations

import gzip
import hashlib
import json
import zipfile
from pathlib import Path
from typing import Any
from urllib.parse import unquote

import pytest
from commandline import gridcwl
from documents import Desk, glob, on_command_line, shell, step, tool, two_steps, web_site, workflow
from everything import write_everything
from rocrate_tools import Tools, graph_of

LOCAL = ("--quiet", "--no-container", "--outdir", "out")


def exported(desk: Desk, *options: str, document: str = "wf.cwl", code: int = 0) -> Path:
    """Run the document and export the run."""
    assert gridcwl(*LOCAL, document, "in.json").code == code
    ended = gridcwl("export", "last", "crate", *options)
    assert ended.code == 0, ended.stderr
    return desk.folder / "crate"


def ids(value: Any) -> list[str]:
    """The ids that a property refers to."""
    return [one["@id"] for one in (value if isinstance(value, list) else [value])]


def check_data(crate: Path, graph: dict[str, dict[str, Any]]) -> None:
    """Every File of the crate is there, as it is described."""
    for id_, entity in graph.items():
        if "File" in entity["@type"] and "sha1" in entity and "://" not in id_:
            data = (crate / unquote(id_)).read_bytes()
            assert hashlib.sha1(data).hexdigest() == entity["sha1"], id_
            assert str(len(data)) == entity["contentSize"], id_


def test_a_run_with_one_of_everything_passes_all_validators_and_names_version_0_5(desk: Desk, tools: Tools):
    write_everything(desk)
    crate = exported(desk, "--orcid", "0000-0002-1825-0097", "--full-name", "Josiah Carberry")
    graph = graph_of(crate)
    assert ids(graph["./"]["conformsTo"]) == [
        "https://w3id.org/ro/wfrun/process/0.5",
        "https://w3id.org/ro/wfrun/workflow/0.5",
        "https://w3id.org/ro/wfrun/provenance/0.5",
        "https://w3id.org/workflowhub/workflow-ro-crate/1.0",
    ]
    check_data(crate, graph)
    assert tools.validate(crate) == []
    report = tools.runcrate("report", crate)
    assert report.count("action: ") == 10  # the run, 3 sub-workflows with a job each, scale, join and keep
    tools.runcrate("run", crate, "--executable", "gridcwl", cwd=desk.outdir.parent)
    for name in ("all joined.txt", "out.fa", "out.fa.fai", "kept/tree/one/two.txt", "b.count", "b_2.count"):
        assert (desk.folder / name).read_bytes() == (desk.folder / "out" / name).read_bytes()


def test_each_job_is_an_action_with_its_inputs_outputs_times_agent_and_usage(desk: Desk):
    write_everything(desk)
    graph = graph_of(exported(desk, "--orcid", "0000-0002-1825-0097", "--full-name", "Josiah Carberry"))
    action = graph["#action/sub%5B1%5D/count"]
    assert action["instrument"] == {"@id": "packed.cwl#sub.cwl/count/run"}
    assert "inputs/b.txt" in ids(action["object"])
    assert ids(action["result"]) == ["data/sub.1/count/b.count"]
    assert action["agent"] == {"@id": "https://orcid.org/0000-0002-1825-0097"}
    assert graph["https://orcid.org/0000-0002-1825-0097"]["name"] == "Josiah Carberry"
    assert action["startTime"] <= action["endTime"]
    assert action["actionStatus"] == "http://schema.org/CompletedActionStatus"
    usage = {graph[id_]["name"]: graph[id_] for id_ in ids(action["resourceUsage"])}
    assert float(usage["wall-time"]["value"]) >= 0
    assert usage["wall-time"]["unitCode"].endswith("/SEC")
    (control,) = [one for one in graph.values() if one["@type"] == "ControlAction"
                  and one["instrument"] == {"@id": "packed.cwl#sub.cwl/count"}]  # fmt: skip
    assert len(control["object"]) == 3
    assert set(ids(graph["./"]["mentions"])) >= {one for one in graph if one.startswith("#action")}
    (times,) = [one for one in ids(action["object"]) if one.startswith("#value")]
    assert graph[times]["value"] == "6"


def test_a_file_is_one_entity_that_names_every_parameter_that_it_was_a_value_of(desk: Desk):
    write_everything(desk)
    graph = graph_of(exported(desk))
    assert set(ids(graph["data/join/all%20joined.txt"]["exampleOfWork"])) == {
        "packed.cwl#join.cwl/all",
        "packed.cwl#main/all",
    }
    assert ids(graph["inputs/b.txt"]["exampleOfWork"]) == [
        "packed.cwl#sub.cwl/count/run/word",
        "packed.cwl#sub.cwl/word",
    ]
    assert "inputs/2/b.txt" in graph  # another file with that name


def test_secondary_files_are_a_collection_and_lie_next_to_their_file(desk: Desk):
    write_everything(desk)
    crate = exported(desk)
    graph = graph_of(crate)
    (collection,) = [graph[id_] for id_ in ids(graph["#action"]["object"]) if graph[id_]["@type"] == "Collection"]
    assert collection["mainEntity"] == {"@id": "inputs/indexed.fa"}
    assert ids(collection["hasPart"]) == ["inputs/indexed.fa", "inputs/indexed.fa.fai"]
    assert (crate / "inputs/indexed.fa.fai").exists()


def test_a_directory_is_a_dataset_with_all_that_is_in_it(desk: Desk):
    write_everything(desk)
    crate = exported(desk)
    graph = graph_of(crate)
    assert ids(graph["inputs/tree/"]["hasPart"]) == ["inputs/tree/one/", "inputs/tree/three.txt"]
    assert (crate / "inputs/tree/one/two.txt").read_text() == "2\n"
    assert graph["data/keep/kept/"]["@type"] == "Dataset"


def test_steps_are_connected_parameter_by_parameter(desk: Desk):
    write_everything(desk)
    graph = graph_of(exported(desk))
    pairs = {(one["sourceParameter"]["@id"], one["targetParameter"]["@id"]) for one in graph.values()
             if one["@type"] == "ParameterConnection"}  # fmt: skip
    assert ("packed.cwl#scale.cwl/doubled", "packed.cwl#sub.cwl/times") in pairs
    assert ("packed.cwl#sub.cwl/count/run/counted", "packed.cwl#sub.cwl/counted") in pairs
    assert ("packed.cwl#sub.cwl/counted", "packed.cwl#join.cwl/parts") in pairs
    assert ("packed.cwl#join.cwl/all", "packed.cwl#main/all") in pairs
    assert not any("never.cwl/verbose" in target for _, target in pairs)  # the tool has no such input


def test_a_tool_that_no_job_ran_is_described_but_is_no_part_of_what_ran(desk: Desk):
    write_everything(desk)
    graph = graph_of(exported(desk))
    assert graph["packed.cwl#never.cwl"]["@type"] == "SoftwareApplication"
    assert "packed.cwl#never.cwl" not in ids(graph["packed.cwl"]["hasPart"])
    assert not any("never" in one for one in graph if one.startswith("#action"))


def test_the_document_in_a_crate_is_what_ran_whatever_was_edited_since(desk: Desk):
    write_everything(desk)
    assert gridcwl(*LOCAL, "wf.cwl", "in.json").code == 0
    desk.write("sub.cwl", "not CWL any more")
    (desk.folder / "join.cwl").unlink()
    assert gridcwl("export", "last", "crate").code == 0
    crate = desk.folder / "crate"
    assert "gridcwl-document" not in (crate / "packed.cwl").read_text()
    assert gridcwl("--validate", str(crate / "packed.cwl")).code == 0
    assert (crate / "document/join.sh").exists()


def test_a_failed_run_has_actions_that_failed_with_their_errors(desk: Desk, tools: Tools):
    fails = tool("sh", "-c", 'echo no >&2; exit "$0"', inputs={"code": on_command_line("int")}, outputs={})
    after = tool("true", inputs={"x": "int"}, outputs={})
    outer = workflow(
        {"codes": "int[]"}, {},
        first=step(fails, "", scatter="code", code="codes"),
        second=step(after, "", x={"default": 1}),
    )  # fmt: skip
    desk.write("wf.cwl", outer)
    desk.write("in.json", '{"codes": [0, 3]}')
    crate = exported(desk, code=1)
    graph = graph_of(crate)
    assert graph["#action/first%5B1%5D"]["actionStatus"] == "http://schema.org/FailedActionStatus"
    assert "3" in graph["#action/first%5B1%5D"]["error"]
    assert graph["#action"]["actionStatus"] == "http://schema.org/FailedActionStatus"
    assert tools.validate(crate, "provenance-run-crate-0.5") == []


def test_a_document_that_is_a_tool_is_a_workflow_of_one_step(desk: Desk, tools: Tools):
    said = {"inputs": {"text": on_command_line("string")}, "outputs": {"said": "stdout"}, "stdout": "said.txt"}
    desk.write("wf.cwl", tool("echo", **said))
    desk.write("in.json", '{"text": "hello"}')
    crate = exported(desk)
    graph = graph_of(crate)
    assert ids(graph["packed.cwl"]["hasPart"]) == ["packed.cwl#main"]
    assert ids(graph["#action"]["result"]) == ["data/wf.cwl/said.txt"]
    assert tools.validate(crate, "provenance-run-crate-0.5") == []
    tools.runcrate("run", crate, "--executable", "gridcwl", cwd=desk.folder)
    assert (desk.folder / "said.txt").read_text() == "hello\n"


def test_intermediate_files_that_were_removed_are_known_by_their_checksums(desk: Desk):
    desk.write("wf.cwl", two_steps("echo one > made"))
    desk.write("in.json", "{}")
    graph = graph_of(exported(desk))
    (made,) = [one for one in graph.values() if one.get("name") == "made" and one["@type"] == "File"]
    assert made["@id"].startswith("file://")
    assert made["sha1"] == hashlib.sha1(b"one\n").hexdigest()
    assert "only its checksum" in made["description"]


def test_data_can_be_referred_to_all_of_it_or_what_is_large(desk: Desk):
    write_everything(desk)
    graph = graph_of(exported(desk, "--data", "reference"))
    word = (desk.folder / "b.txt").as_uri()
    assert graph[word]["sha1"] == hashlib.sha1(b"wonderful\n").hexdigest()
    assert gridcwl("export", "last", "small", "--data-limit", "0.000008").code == 0  # 8 bytes
    small = graph_of(desk.folder / "small")
    assert word in small
    assert "inputs/a%20word.txt" in small


def test_a_crate_may_be_a_zip_file_and_replaces_nothing(desk: Desk):
    write_everything(desk)
    assert gridcwl(*LOCAL, "wf.cwl", "in.json").code == 0
    assert gridcwl("export", "last", "crate.zip").code == 0
    with zipfile.ZipFile("crate.zip") as archive:
        assert {"ro-crate-metadata.json", "packed.cwl", "inputs/a word.txt"} <= set(archive.namelist())
    again = gridcwl("export", "last", "crate.zip")
    assert again.code == 1
    assert "crate.zip exists" in again.stderr
    (desk.folder / "full").mkdir()
    (desk.folder / "full" / "x").touch()
    assert "is not an empty folder" in gridcwl("export", "last", "full").stderr


@pytest.mark.parametrize("orcid", ["0000-0002-1825-0098", "1234", "0000-0002-1825-009"])
def test_an_orcid_with_a_wrong_digit_is_refused(desk: Desk, orcid: str):
    desk.write("wf.cwl", tool("true"))
    desk.write("in.json", "{}")
    assert gridcwl(*LOCAL, "wf.cwl", "in.json").code == 0
    assert f"{orcid} is no ORCID" in gridcwl("export", "last", "crate", "--orcid", orcid).stderr


def test_ctapipes_own_log_is_folded_into_the_action_of_its_job(desk: Desk):
    log = [{
        "activity_name": "ctapipe-process", "activity_uuid": "82bc8831", "status": "completed",
        "start": {"time_utc": "2026-11-29T03:39:49.642"}, "stop": {"time_utc": "2026-11-29T03:39:52.356"},
        "system": {"ctapipe_version": "0.32.0", "environment": {"TOKEN": "swordfish"},
                   "python": {"version_string": "3.13.5", "packages": [{"name": "numpy", "version": "2.5"}]}},
        "input": [{"role": "Input Event", "url": "/gridcwl/in/0/events.simtel.zst"}],
        "config": {"EventSource": {"max_events": 5}},
    }]  # fmt: skip
    desk.write("log.json", json.dumps(log))
    keep = shell('cp "$0" x.provenance.log', inputs={"log": on_command_line("File")},
                 outputs={"provenance": glob("*.provenance.log")})  # fmt: skip
    desk.write("wf.cwl", keep)
    desk.write("in.json", '{"log": {"class": "File", "path": "log.json"}}')
    crate = exported(desk)
    graph = graph_of(crate)
    action = graph["#action/wf.cwl"]
    facts = {graph[id_]["name"]: graph[id_]["value"] for id_ in ids(action["additionalProperty"])}
    assert facts["ctapipe ctapipe_version"] == "0.32.0"
    assert facts["ctapipe input"] == "Input Event: events.simtel.zst"
    assert facts["ctapipe packages"] == "numpy 2.5"
    assert "max_events" in facts["ctapipe config"]
    assert ids(action["subjectOf"]) == ["data/wf.cwl/x.provenance.log"]
    assert "swordfish" not in (crate / "ro-crate-metadata.json").read_text()


def test_ctapipes_log_is_folded_in_although_it_was_not_kept(desk: Desk):
    activity = {"activity_name": "ctapipe-process", "activity_uuid": "82bc8831", "config": {"key": "swordfish"},
                "system": {"ctapipe_version": "0.32.0", "environment": {"TOKEN": "abracadabra"}}}  # fmt: skip
    desk.write("log.json", json.dumps([activity]) + "\n" + json.dumps([activity]))  # a tool may append to its log
    write = shell('cp "$0" x.provenance.json; echo "$1" > made',
                  inputs={"log": on_command_line("File", position=1), "key": on_command_line("string", position=2)},
                  outputs={"made": glob("made"), "provenance": glob("*.provenance.json")})  # fmt: skip
    outer = workflow(
        {"log": "File", "key": "string"}, {"made": {"type": "File", "outputSource": "process/made"}},
        process=step(write, "made provenance", log="log", key="key"),
    )  # fmt: skip
    outer["hints"] = {"cwltool:Secrets": {"secrets": ["key"]}}
    outer["$namespaces"] = {"cwltool": "http://commonwl.org/cwltool#"}
    desk.write("wf.cwl", outer)
    desk.write("in.json", '{"log": {"class": "File", "path": "log.json"}, "key": "swordfish"}')
    crate = exported(desk)
    graph = graph_of(crate)
    facts = [graph[id_] for id_ in ids(graph["#action/process"]["additionalProperty"])]
    assert [one["value"] for one in facts if one["name"] == "ctapipe ctapipe_version"] == ["0.32.0", "0.32.0"]
    record = next((desk.folder.parent / "state/runs").iterdir())
    (kept,) = (record / "provenance").iterdir()
    text = gzip.decompress(kept.read_bytes()).decode()
    for secret in ("swordfish", "abracadabra"):
        assert secret not in text
        assert secret not in (crate / "ro-crate-metadata.json").read_text()


def test_secrets_and_passwords_are_nowhere_in_a_crate(desk: Desk, monkeypatch: pytest.MonkeyPatch):
    desk.write("web/page.txt", "a page\n")
    with web_site(desk.folder / "web") as site:
        url = site.replace("://", "://alice:swordfish@") + "/page.txt?x=1&access_token=swordfish#part"
        script = shell(
            'echo "$TOKEN $0 $HIDDEN" >&2; echo done > made',
            inputs={
                "key": on_command_line("string"),
                "page": "File",
                "standard": {"type": "File", "default": {"class": "File", "location": url}},
                "link": {"type": "string", "default": url},
            },
            outputs={"made": glob("made")},
        )
        script["requirements"] = {"EnvVarRequirement": {"envDef": {"HIDDEN": "$(inputs.key)"}}}
        script["hints"] = {"cwltool:Secrets": {"secrets": ["key"]}}
        script["$namespaces"] = {"cwltool": "http://commonwl.org/cwltool#"}
        desk.write("wf.cwl", script)
        desk.write("in.json", json.dumps({"key": "swordfish", "page": {"class": "File", "location": url}}))
        monkeypatch.setenv("TOKEN", "swordfish")
        monkeypatch.setenv("XDG_CACHE_HOME", str(desk.folder / "cache"))
        assert (
            gridcwl(*LOCAL, "--preserve-environment", "TOKEN", "--provenance", "crate", "wf.cwl", "in.json").code == 0
        )
    crate = desk.folder / "crate"
    texts = [path.read_text() for path in crate.rglob("*") if path.is_file()]
    assert not any("swordfish" in text for text in texts)
    assert any("(secret" in text for text in texts)
    assert "/page.txt?x=1&access_token=***#part" in (crate / "packed.cwl").read_text()
    inputs = json.loads((crate / "primary-job.json").read_text())
    assert (crate / inputs["standard"]["location"]).read_text() == "a page\n"  # so that the crate still runs
    for name in ("report.html", "report.json"):
        assert gridcwl("report", "last", "-o", name).code == 0
        assert "swordfish" not in (desk.folder / name).read_text()
