"""DIRAC's configuration is made from a description, and nothing secret is in what clients get."""

from __future__ import annotations

from pathlib import Path

import pytest

from gridcwl.testbed.dirac import configuration
from gridcwl.testbed.dirac.layout import DATABASES, SERVICES, DiracLayout, Pilot, Subjects, pilots
from gridcwl.testbed.sites import SITES, site

PASSWORD = "not for clients"


@pytest.fixture
def box() -> DiracLayout:
    ports = {service: 20000 + number for number, service in enumerate(SERVICES)}
    return DiracLayout(
        root=Path("/box"),
        ports={**ports, "database": 3306, "parameters": 9200},
        subjects=Subjects(host="/CN=localhost", user="/CN=runner", pilot="/CN=pilot"),
        ca_dir=Path("/ca"),
        host_cert=Path("/host.pem"),
        host_key=Path("/host.key"),
        database_password=PASSWORD,
        diracx_url="http://localhost:8000",
        diracx_key="diracx:legacy:key",
        max_parametric_jobs=77,
    )


def test_sections_are_in_braces_and_values_behind_equals_signs():
    text = configuration.text({"A": {"B": {"C": 1}, "D": "x y"}})
    assert text == "A\n{\n  B\n  {\n    C = 1\n  }\n  D = x y\n}\n"


def test_yes_no_and_lists_are_as_dirac_writes_them():
    assert (
        configuration.text({"On": True, "Off": False, "Several": ("a", "b")}) == "On = yes\nOff = no\nSeveral = a, b\n"
    )


def test_an_empty_section_is_one():
    assert configuration.text({"A": {}}) == "A\n{\n}\n"


def test_what_has_no_form_is_refused():
    with pytest.raises(TypeError, match="no form"):
        configuration.text({"A": 1.5})


def test_the_password_is_for_servers_only(box):
    assert PASSWORD in configuration.text(configuration.server(box))
    for other in (configuration.shared(box), configuration.client(box), configuration.pilot(box, Pilot(SITES[0], 0))):
        assert PASSWORD not in configuration.text(other)


def test_a_client_knows_no_more_than_where_the_configuration_server_is(box):
    client = configuration.client(box)
    assert client["DIRAC"]["Configuration"] == {
        "Servers": f"dips://localhost:{box.ports['Configuration/Server']}/Configuration/Server"
    }
    assert set(client) == {"DIRAC"}


@pytest.mark.parametrize("service", SERVICES)
def test_every_service_has_its_port_and_address(box, service):
    system, _, name = service.partition("/")
    section = configuration.shared(box)["Systems"][system]
    assert section["Services"][name]["Port"] == box.ports[service]
    assert section["URLs"][name] == f"dips://localhost:{box.ports[service]}/{service}"


@pytest.mark.parametrize(("database", "system"), DATABASES.items())
def test_every_database_has_its_system(box, database, system):
    assert configuration.server(box)["Systems"][system]["Databases"][database] == {"DBName": database}


def test_the_limit_of_a_parametric_submission_is_the_servers(box):
    manager = configuration.shared(box)["Systems"]["WorkloadManagement"]["Services"]["JobManager"]
    assert manager["MaxParametricJobs"] == 77


def test_every_site_has_its_storage_element(box):
    sites = configuration.shared(box)["Resources"]["Sites"]["LCG"]
    assert {name: about["SE"] for name, about in sites.items()} == {each.name: each.storage for each in SITES}


def test_a_site_tells_its_tags(box):
    [element] = configuration.shared(box)["Resources"]["Sites"]["LCG"]["LCG.CNAF.it"]["CEs"].values()
    assert element["Tag"] == ("GPU",)


def test_a_pilot_tells_what_its_site_has():
    here = configuration.local_site(site("LCG.CNAF.it"), "local://x")
    assert (here["Site"], here["NumberOfProcessors"], here["MaxRAM"], here["Tag"]) == ("LCG.CNAF.it", 2, 4096, ("GPU",))
    assert here["PilotReference"] == "local://x"


def test_only_where_there_are_several_processors_jobs_share_them():
    assert configuration.local_site(site("LCG.Lyon.fr"), "x")["LocalCE"] == "Pool/InProcess"
    assert configuration.local_site(site("LCG.Orsay.fr"), "x")["LocalCE"] == "InProcess"


def test_jobs_can_tell_light_pilots_from_real_ones():
    real, light = (configuration.local_site(SITES[0], "x", light=light)["GridCE"] for light in (False, True))
    assert real != light


def test_there_are_pilots_at_every_site_but_the_banned_one():
    assert {pilot.site.name for pilot in pilots(SITES, 2)} == {each.name for each in SITES if not each.banned}
    assert len({pilot.reference for pilot in pilots(SITES, 2)}) == 6


def test_services_trust_hosts_that_optimize_and_nobody_else(box):
    mind = configuration.shared(box)["Systems"]["WorkloadManagement"]["Services"]["OptimizationMind"]
    assert mind["Authorization"] == {"Default": "TrustedHost"}
