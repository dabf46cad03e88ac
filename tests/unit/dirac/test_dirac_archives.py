"""Images that sites are to have from Rucio: asked for once, by what the jobs name."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Any

import pytest
from dirac_builders import a_job

from gridcwl.backends.dirac.archives import ImageArchives
from gridcwl.errors import ConfigError
from gridcwl.model import Image

SITES = {"*": {"engines": ["docker"]}, "LCG.Lyon.fr": {"images": ["/cvmfs/{image}", "rucio:images:{image}.tar"]}}


def test_jobs_name_where_their_images_are():
    asked: list[Sequence[str]] = []

    async def find(names: Sequence[str]) -> dict[str, Any]:
        asked.append(names)
        return {"images:debian.tar": {"sources": ["https://se/debian.tar"]}}

    archives = ImageArchives(SITES, find)
    jobs = [a_job(1, image=Image(pull="debian", id="debian")), a_job(2), a_job(3, image=Image(pull="bash", id="bash"))]

    async def twice() -> Any:
        await archives.for_jobs(jobs)
        return await archives.for_jobs(jobs)

    settings = asyncio.run(twice())
    assert settings["*"] == {
        "engines": ["docker"],
        "archives": {"rucio:images:debian.tar": {"sources": ["https://se/debian.tar"]}},
    }
    assert settings["LCG.Lyon.fr"] == SITES["LCG.Lyon.fr"]
    assert asked == [["images:bash.tar", "images:debian.tar"], ["images:bash.tar"]]


def test_images_in_rucio_need_rucio():
    with pytest.raises(ConfigError, match="the run does not use it"):
        ImageArchives(SITES, None)
    with pytest.raises(ConfigError, match="is no place for images"):
        ImageArchives({"*": {"images": ["rucio:images"]}}, None)


def test_without_such_places_nobody_is_asked():
    sites = {"*": {"images": ["registry.org/{image}"]}}
    assert asyncio.run(ImageArchives(sites, None).for_jobs([a_job(1)])) == sites
