"""What datasets and files say of themselves: run, step, tool, the image that ran, the keys of the jobs."""

from __future__ import annotations

from collections.abc import Collection, Mapping

from gridcwl.model import Image, Job, JobId, JobResult, Outcome, ProducedFile, RunId
from gridcwl.stores.rucio.descriptions import Descriptions
from gridcwl.stores.rucio.names import Did, Maker

RUN = "20261123-000000-abcdef"
DATASET = Did("user.a", f"{RUN}.sort.out")


def keys(makers: Collection[Maker]) -> Mapping[Maker, str]:
    return {maker: f"{maker.session:02d}{maker.number:02d}" for maker in makers}


def described() -> Descriptions:
    return Descriptions(RUN, "flow", Did("user.a", f"{RUN}.run"), keys)


def job(number: int, name: str) -> Job:
    return Job(JobId(f"{RUN}-1-{number}"), RunId(RUN), name, ("sort", "-n"), Image("debian:12"))


def result(number: int, image: str = "debian@sha256:1") -> JobResult:
    url = f"rucio://user.a/{RUN}.sort.j1-{number}-1.out.txt"
    file = ProducedFile("out.txt", "file", url, 1, "0" * 40, "00000001")
    return JobResult(JobId(f"{RUN}-1-{number}"), Outcome.SUCCESS, 0, files=(file,), image=image)


def name(number: int) -> str:
    return f"{RUN}.sort.j1-{number}-1.out.txt"


def test_a_dataset_of_one_job_reports_everything_when_it_is_made() -> None:
    text = described()
    text.learn_keys([name(7)])
    text.of_step(DATASET, job(7, "sort"), "sort", "out", result(7))
    assert text.known[DATASET] == {
        "gridcwl_run": RUN,
        "gridcwl_document": "flow",
        "gridcwl_step": "sort",
        "gridcwl_output": "out",
        "gridcwl_tool": "sort -n",
        "gridcwl_image": "debian:12",
        "gridcwl_image_digest": "debian@sha256:1",
        "gridcwl_key": "0107",
    }
    assert text.completed(lambda _step: [b"k"]) == {}


def test_each_file_reports_the_key_of_its_job_and_the_image_that_ran() -> None:
    text = described()
    text.learn_keys([name(7), name(8)])
    assert text.of_file(Did("user.a", name(8)), result(8)) == {
        "gridcwl_key": "0108",
        "gridcwl_image_digest": "debian@sha256:1",
    }
    assert text.of_file(Did("user.a", name(7)), result(7, image="")) == {"gridcwl_key": "0107"}


def test_a_dataset_of_a_scattered_step_gets_a_digest_over_the_keys_when_all_are_known() -> None:
    text = described()
    text.learn_keys([name(7), name(8)])
    for number in (7, 8):
        text.of_step(DATASET, job(number, f"sort[{number - 7}]"), "sort", "out", result(number))
    assert "gridcwl_key" not in text.known[DATASET]
    more = text.completed({"sort": [b"\1\7", b"\1\x08"]}.__getitem__)[DATASET]
    assert more["gridcwl_jobs"] == 2
    assert len(more["gridcwl_key"]) == 64
    assert text.completed(lambda _step: [b"\1\x08", b"\1\7"])[DATASET]["gridcwl_key"] != more["gridcwl_key"]


def test_where_sites_had_different_images_the_dataset_reports_them_all() -> None:
    text = described()
    for number, image in ((7, "debian@sha256:2"), (8, "debian@sha256:1")):
        text.of_step(DATASET, job(number, f"sort[{number - 7}]"), "sort", "out", result(number, image))
    assert text.completed(lambda _step: [])[DATASET]["gridcwl_image_digest"] == "debian@sha256:1 debian@sha256:2"


def test_a_key_that_nobody_knows_is_left_out() -> None:
    text = Descriptions(RUN, "", Did("user.a", "c"))
    text.learn_keys([name(7), "of.somebody.else"])
    assert text.of_file(Did("user.a", name(7)), result(7, image="")) == {}
