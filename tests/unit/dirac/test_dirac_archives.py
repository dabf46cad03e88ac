"""Images that sites are to have from Rucio: looked up once, by what the jobs name."""

from __future__ import annotations

import pytest
from dirac_builders import a_job

from gridcwl.backends.dirac.archives import ImageArchives
from gridcwl.errors import ConfigError
from gridcwl.model import Image

SITES = {"*": {"engines": ["docker"]}, "LCG.Lyon.fr": {"images": ["/cvmfs/{image}", "rucio:images:{image}.tar"]}}


def test_jobs_name_where_their_images_are():
    archives = ImageArchives(SITES)
    jobs = [a_job(1, image=Image(pull="debian", id="debian")), a_job(2), a_job(3, image=Image(pull="bash", id="bash"))]
    assert archives.missing(jobs) == ["images:bash.tar", "images:debian.tar"]
    archives.add({"images:debian.tar": {"sources": ["https://se/debian.tar"]}})

    settings = archives.settings_for(jobs)
    assert settings["*"] == {
        "engines": ["docker"],
        "archives": {"rucio:images:debian.tar": {"sources": ["https://se/debian.tar"]}},
    }
    assert settings["LCG.Lyon.fr"] == SITES["LCG.Lyon.fr"]
    assert archives.missing(jobs) == ["images:bash.tar"]


def test_a_place_that_is_no_did_is_refused():
    with pytest.raises(ConfigError, match="is no place for images"):
        ImageArchives({"*": {"images": ["rucio:images"]}})


def test_without_such_places_nothing_is_missing():
    sites = {"*": {"images": ["registry.org/{image}"]}}
    archives = ImageArchives(sites)
    assert archives.missing([a_job(1, image=Image(pull="debian", id="debian"))]) == []
    assert archives.settings_for([a_job(1)]) == sites
