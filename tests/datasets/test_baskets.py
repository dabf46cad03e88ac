"""ESAP's shopping basket as inputs, and outputs in the basket."""

from __future__ import annotations

import base64
import http.server
import json
import threading
from contextlib import closing

import pytest
from commandline import gridcwl as command

import gridcwl
from gridcwl.datasets.esap import Esap, find_token, is_valid
from gridcwl.errors import ConfigError, StoreError
from gridcwl.runs.record.folder import find
from gridcwl.runs.record.journal import Journal

FILES = {
    "cwlVersion": "v1.2",
    "class": "CommandLineTool",
    "baseCommand": "cat",
    "inputs": {"events": {"type": "File[]", "inputBinding": {}}, "ra": {"type": "float?"}, "note": {"type": "string?"}},
    "outputs": {"out": {"type": "stdout"}},
}


RULES = """
rules:
- input: events
  archive: rucio
  where: {type: FILE, name: 'run*'}
  value: 'rucio://{scope}/{name}'
  format: http://edam/1
- {input: note, archive: apertif, value: '{dataProductType} {name}'}
"""


@pytest.fixture
def document(desk):
    return str(desk.write("doc.cwl", json.dumps(FILES)))


def jwt(exp: float) -> str:
    body = base64.urlsafe_b64encode(json.dumps({"exp": exp}).encode()).decode().rstrip("=")
    return f"header.{body}.signature"


@pytest.mark.usefixtures("esap", "token")
def test_items_become_inputs_by_the_usual_rules(document):
    basket = gridcwl.basket(archives=["rucio", "apertif"])
    found = basket.map(document)
    assert [file["location"] for file in found.inputs["events"]] == [
        "rucio://CTA_TEST/run1.simtel.zst", "rucio://CTA_TEST/night%201", "https://alta.example.org/WSRTA1.MS",
    ]  # fmt: skip
    assert found.inputs["ra"] == 1.5
    assert found.problems == []


@pytest.mark.usefixtures("esap", "token")
def test_rules_are_printed_edited_and_used(desk, document):
    printed = command("basket", "rules", document).stdout
    assert "archive: rucio\n  value: rucio://{scope}/{name}" in printed
    rules = desk.write("rules.yml", RULES)
    done = command("basket", "inputs", document, "--rules", str(rules), "--to", "in.yml")
    assert done.code == 1
    written = (desk.folder / "in.yml").read_text()
    assert "location: rucio://CTA_TEST/run1.simtel.zst\n  format: http://edam/1" in written
    assert "note: visibility WSRTA1.MS" in written
    assert (
        "not used: CTA_TEST:night 1 (rucio, item 2): its field type is DATASET, and the rule wants FILE" in done.stderr
    )
    assert (
        "not used: classifications of workflow 2 (zooniverse, item 4): no rule is for the archive zooniverse"
        in done.stderr
    )


@pytest.mark.usefixtures("esap", "token")
def test_a_basket_is_listed_without_the_tokens_of_the_profile(desk):
    done = command("basket", "list")
    assert "CTA_TEST:run1.simtel.zst" in done.stdout
    assert "classifications of workflow 2" in done.stdout
    assert "token" not in done.stdout + done.stderr
    assert len(json.loads(command("basket", "list", "--json", "--archive", "rucio").stdout)) == 2


@pytest.mark.parametrize(
    ("record", "reason"),
    [
        ({"archive": "apertif", "record": {"name": "x"}}, "its record has no field url or the like"),
        ({"archive": "samp", "record": {"url": "file:///etc/passwd"}}, "not a DID or a URL"),
        ({"archive": "samp", "record": {"url": "/etc/passwd"}}, "not a DID or a URL"),
        ({"archive": "vo_reg", "record": {"accref": "https://u:p@host/x"}}, "holds a password"),
        ({"archive": "rucio", "record": {"name": "x"}}, "its record has no field scope"),
    ],
)
@pytest.mark.usefixtures("token")
def test_what_does_not_fit_is_reported_item_by_item(document, esap, record, reason):
    esap.cart("alice")[:] = [record, {"archive": "apertif", "record": {"url": "https://h/ok"}}]
    found = gridcwl.basket().map(document)
    assert len(found.inputs["events"]) == 1
    assert next(why for _, why in found.problems).find(reason) >= 0


@pytest.mark.usefixtures("token")
def test_what_is_no_item_is_reported_with_its_place(desk, esap):
    esap.cart("alice")[:] = [{"record": {}}, 5, {"archive": "samp", "record": ["a", "https://h/x"]}]
    basket = gridcwl.basket()
    assert [number for number, _ in basket.unknown] == [1, 2]
    assert basket.items[0].record == {"field1": "a", "field2": "https://h/x"}


@pytest.mark.usefixtures("token")
def test_one_file_takes_one_item(desk, esap):
    one = {**FILES, "inputs": {"file": {"type": "File"}}}
    document = desk.write("one.cwl", json.dumps(one))
    found = gridcwl.basket(archives=["rucio"]).map(document)
    assert found.inputs["file"]["location"] == "rucio://CTA_TEST/run1.simtel.zst"
    assert "is a dataset" in found.problems[0][1]
    with pytest.raises(ConfigError, match="does not become an input"):
        gridcwl.basket(archives=["rucio"]).inputs(document)


@pytest.mark.usefixtures("token")
@pytest.mark.parametrize(
    ("rules", "message"),
    [
        ([{"input": "event", "value": "x"}], "Did you mean events"),
        ([{"input": "events"}], "needs an input and a value"),
        ([{"input": "events", "value": "x", "archives": "y"}], "has no field 'archives'"),
        ("x", "not a list"),
    ],
)
def test_rules_that_mean_nothing_are_explained(document, esap, rules, message):
    with pytest.raises(ConfigError) as caught:
        gridcwl.basket().map(document, rules)
    assert message in str(caught.value)


# -- into the basket -------------------------------------------------------------------------------------------------


@pytest.mark.usefixtures("token")
def test_dids_and_urls_are_added_once_and_the_rest_stays(desk, esap):
    before = list(esap.cart("alice"))
    done = command("basket", "add", "cta:run2", "https://host/x.fits")
    assert esap.cart("alice") == [
        *before,
        {"archive": "rucio", "record": {"scope": "cta", "name": "run2", "type": "FILE"}},
        {"archive": "gridcwl", "record": {"name": "x.fits", "url": "https://host/x.fits"}},
    ]
    assert "2 item(s) added" in done.stderr
    assert "0 item(s) added, 1 there already" in command("basket", "add", "cta:run2").stderr


@pytest.mark.usefixtures("token")
def test_outputs_that_only_this_machine_has_are_reported(desk, esap, document):
    file = desk.write("a", "a")
    command("--quiet", "--outdir", "out", document, "--events", str(file))
    done = command("basket", "add", "last")
    assert done.code == 1
    assert "it is on this machine only; run with --store rucio" in done.stderr


@pytest.mark.usefixtures("token")
@pytest.mark.parametrize(
    ("about", "records"),
    [
        ({}, [{"scope": "cta", "name": "night 1/a", "type": "FILE"}, {"scope": "cta", "name": "b", "type": "FILE"}]),
        ({"rucio": {"outputs": ["cta:results"]}}, [{"scope": "cta", "name": "results", "type": "DATASET"}]),
    ],
    ids=["files", "dataset"],
)
def test_outputs_in_rucio_are_added_as_files_or_as_the_run_s_dataset(desk, esap, document, about, records):
    file = desk.write("a", "a")
    command("--quiet", "--outdir", "out", document, "--events", str(file))
    places = ("rucio://cta/night%201/a", "rucio://cta/b")
    outputs = {"out": [{"class": "File", "location": place, "basename": place[-1]} for place in places]}
    with closing(Journal(find(desk.folder.parent / "state", "last").folder.journal)) as journal:
        journal.describe({"outputs": outputs, **about})
    done = command("basket", "add", "last")
    assert done.code == 0, done.stderr
    assert [one["record"] for one in esap.cart("alice")[4:]] == records
    assert f"0 item(s) added, {len(records)} there already" in command("basket", "add", "last").stderr


# -- tokens and gateways ---------------------------------------------------------------------------------------------


def test_a_given_token_is_used_while_it_is_valid(desk, token):
    assert find_token(jwt(1000), now=lambda: 900.0) == jwt(1000)
    assert find_token(jwt(1000), now=lambda: 995.0) == "token-of-alice"
    assert not is_valid(jwt(1000), 991)
    assert is_valid("opaque", 10**12)


def test_jupyterhub_s_exchanged_token_goes_before_the_file(desk, token):
    class Hub(http.server.BaseHTTPRequestHandler):
        def do_GET(self):
            fine = self.path == "/hub/api/user" and self.headers["Authorization"] == "token hub-token"
            body = json.dumps({"auth_state": {"exchanged_tokens": {"rucio": "of-the-hub"}}} if fine else {}).encode()
            self.send_response(200)
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_args):
            pass

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Hub) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        where = {
            "JUPYTERHUB_API_URL": f"http://127.0.0.1:{server.server_port}/hub/api",
            "RUCIO_OIDC_FILE_NAME": str(token),
        }
        assert find_token(environment={**where, "JUPYTERHUB_API_TOKEN": "hub-token"}) == "of-the-hub"
        assert find_token(environment={**where, "JUPYTERHUB_API_TOKEN": "wrong"}) == "token-of-alice"
        server.shutdown()
        thread.join()


def test_a_missing_token_says_where_it_is_looked_for(desk):
    with pytest.raises(ConfigError) as caught:
        find_token(environment={})
    assert "RUCIO_OIDC_FILE_NAME" in caught.value.remedy


def test_a_refused_token_is_not_shown(desk, esap):
    with pytest.raises(ConfigError, match="refuses the token") as caught:
        Esap(esap.url, "wrong-token").basket()
    assert "wrong-token" not in str(caught.value)


def test_tokens_go_by_https_only(desk):
    with pytest.raises(ConfigError, match="not reached by https"):
        Esap("http://esap.example.org/", "t")


def test_a_gateway_that_does_not_answer_is_named(desk):
    with pytest.raises(StoreError, match="does not answer"):
        Esap("http://127.0.0.1:9/", "t").basket()


# -- the Virtual Observatory -----------------------------------------------------------------------------------------


VOTABLE = """<?xml version="1.0"?>
<VOTABLE version="1.4" xmlns="http://www.ivoa.net/xml/VOTable/v1.3"><RESOURCE type="results">
<INFO name="QUERY_STATUS" value="OK"/><TABLE>
<FIELD name="obs_id" datatype="char" arraysize="*"/><FIELD name="access_url" datatype="char" arraysize="*"/>
<FIELD name="semantics" datatype="char" arraysize="*"/><FIELD name="ra" datatype="double"/>
<DATA><TABLEDATA>
<TR><TD>one</TD><TD>https://h/1.fits</TD><TD>#this</TD><TD>83.6</TD></TR>
<TR><TD>two</TD><TD></TD><TD>#preview</TD><TD/></TR>
</TABLEDATA></DATA></TABLE></RESOURCE></VOTABLE>
"""


CAPABILITIES = """<?xml version="1.0"?>
<vosi:capabilities xmlns:vosi="http://www.ivoa.net/xml/VOSICapabilities/v1.0"
 xmlns:vs="http://www.ivoa.net/xml/VODataService/v1.1" xmlns:xsi="http://www.w3.org/2001/XMLSchema-instance">
<capability standardID="ivo://ivoa.net/std/SIA#query-2.0">
<interface xsi:type="vs:ParamHTTP" role="std" version="2.0"><accessURL use="full">BASE/sia/query</accessURL></interface>
</capability></vosi:capabilities>
"""


@pytest.fixture
def service():
    class Vo(http.server.BaseHTTPRequestHandler):
        def answer(self):
            length = int(self.headers.get("Content-Length") or 0)
            asked = self.path + self.rfile.read(length).decode()
            base = f"http://127.0.0.1:{self.server.server_port}"
            body = (
                CAPABILITIES.replace("BASE", base)
                if self.path.endswith("/capabilities")
                else VOTABLE
                if "broken" not in asked
                else VOTABLE.replace('"OK"/', '"ERROR">no such table</INFO').replace("INFO>>", "INFO>")
            )
            self.send_response(200)
            self.send_header("Content-Type", "application/x-votable+xml")
            self.end_headers()
            self.wfile.write(body.encode())

        do_GET = do_POST = answer

        def log_message(self, *_args):
            pass

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Vo) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()
        thread.join()


def test_rows_of_a_tap_service_become_inputs(document, service):
    done = command("basket", "inputs", document, "--tap", f"{service}/tap", "--query", "SELECT * FROM ivoa.obscore")
    assert "location: https://h/1.fits" in done.stdout
    assert "ra: 83.6" in done.stdout
    assert "not used: two (tap, item 2): its record has no field url or the like" in done.stderr


def test_images_of_an_sia_service_become_inputs(document, service):
    done = command("basket", "inputs", document, "--sia", f"{service}/sia", "--pos", "83.6,22.0,0.1")
    assert "location: https://h/1.fits" in done.stdout, done.stderr


def test_a_refused_query_is_explained(document, service):
    done = command("basket", "inputs", document, "--tap", f"{service}/tap", "--query", "SELECT broken")
    assert "refuses the query: no such table" in done.stderr


def test_data_of_a_datalink_document_become_inputs(document, service):
    done = command("basket", "inputs", document, "--datalink", f"{service}/links?ID=1")
    assert (done.code, done.stdout.count("location")) == (0, 1)


def test_rows_of_a_votable_become_inputs(desk, document):
    table = desk.write("found.vot", VOTABLE)
    done = command("basket", "inputs", document, "--votable", str(table))
    assert "location: https://h/1.fits" in done.stdout


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("--tap", "https://h/tap"), "--tap goes with --query"),
        (("--sia", "https://h", "--pos", "1,2"), "RA,DEC,RADIUS"),
        (("--votable", "x", "--did", "a:b"), "exclude each other"),
        (("--votable", "missing.vot"), "cannot be read as a VOTable"),
        (("--did", "nothing"), "is no run, no DID and no URL"),
    ],
)
def test_mistakes_are_explained(document, words, message):
    assert message in command("basket", "inputs", document, *words).stderr
