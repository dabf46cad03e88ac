"""Which storage elements outputs can go to, and what is said of the others."""

from __future__ import annotations

from typing import Any

import pytest
from rucio_builders import client_of, now

from gridcwl.errors import ConfigError
from gridcwl.stores.rucio.elements import find_elements, plain, prefix_of
from gridcwl.stores.rucio.settings import RucioSettings

WRITE = {"lan": {"read": 1, "write": 1}, "wan": {"read": 1, "write": 1}}
READ = {"lan": {"read": 1, "write": 0}, "wan": {"read": 1}}


def protocol(scheme: str, *, prefix: str = "/data/", domains: Any = WRITE) -> dict[str, Any]:
    return {"scheme": scheme, "hostname": "se.org", "port": 1094, "prefix": prefix, "domains": domains}


class Server:
    """Answers what elements are asked for."""

    def __init__(self, **rses: dict[str, Any]) -> None:
        self.rses = rses

    def whoami(self) -> dict[str, str]:
        return {"account": "runner"}

    def get_local_account_limits(self, _account: str) -> dict[str, float]:
        return {name: about.get("quota", 1.0) for name, about in self.rses.items()}

    def get_rse(self, rse: str) -> dict[str, Any]:
        standard = {"rse": rse, "deterministic": True, "availability_write": True, "rse_type": "DISK"}
        return standard | {"protocols": [protocol("davs")]} | self.rses[rse]

    def list_rse_attributes(self, rse: str) -> dict[str, Any]:
        return dict(self.rses[rse].get("attributes", {}))


def found(settings: RucioSettings | None = None, **rses: dict[str, Any]) -> list[Any]:
    client, _ = client_of(lambda: Server(**rses))
    return list(now(find_elements(client, settings or RucioSettings())).usable)


def test_those_with_a_quota_are_used_with_their_sites_and_urls() -> None:
    (one,) = found(A={"attributes": {"site": "LCG.X.fr, LCG.Y.fr"}}, B={"quota": 0.0})
    assert one.name == "A"
    assert one.sites == ("LCG.X.fr", "LCG.Y.fr")
    assert one.urls == ("davs://se.org:1094/data/",)


def test_mounted_storage_comes_first_and_what_cannot_be_written_to_is_left_out() -> None:
    protocols = [protocol("davs"), protocol("root", domains=READ), protocol("gsiftp"), protocol("file", prefix="/mnt")]
    (one,) = found(A={"protocols": protocols})
    assert one.urls == ("file:///mnt/", "davs://se.org:1094/data/")


def test_the_configuration_adds_sites_and_ours_comes_first() -> None:
    settings = RucioSettings(sites={"HOME": ("B",)}, site="HOME")
    assert [one.name for one in found(settings, A={}, B={})] == ["B", "A"]


@pytest.mark.parametrize(
    ("about", "why"),
    [
        ({"availability_write": False}, "may not be written to"),
        ({"deterministic": False}, "not derived from their names"),
        ({"rse_type": "TAPE"}, "tape"),
        ({"protocols": [protocol("gsiftp")]}, "none of its protocols .gsiftp."),
        ({"lfn2pfn_algorithm": "no_such"}, "its algorithm for paths, no_such"),
    ],
)
def test_of_those_that_cannot_be_used_the_reason_is_reported(about: dict[str, Any], why: str) -> None:
    with pytest.raises(ConfigError, match=f"A: .*{why}") as raised:
        found(A=about)
    assert "--rucio-rse" in raised.value.remedy


@pytest.mark.parametrize(("algorithm", "naming"), [("hash", "hash"), ("identity", "identity"), ("ctao_bdms", "name")])
def test_ways_of_naming_that_workers_know(algorithm: str, naming: str) -> None:
    (one,) = found(A={"lfn2pfn_algorithm": algorithm})
    assert one.naming == naming


def test_prefixes_of_root_have_two_slashes() -> None:
    assert prefix_of(protocol("root")) == "root://se.org:1094//data/"


@pytest.mark.parametrize("url", ["file://localhost:0/a/b", "file://localhost/a/b", "file:///a/b"])
def test_the_host_in_a_file_url_means_nothing(url: str) -> None:
    assert plain(url) == "file:///a/b"
