"""What a job's key is made of."""

from __future__ import annotations

from dataclasses import replace

import pytest

from gridcwl.model import ExitCodes, Image, Job, JobDirectories, JobId, OutputRules, Resources, RunId, StagedFile
from gridcwl.runs.reuse.keys import describe, differences, unidentified

INPUT = StagedFile("/in/0/a.txt", "file", ("file:///data/a.txt",), size=3, checksum="sha1$aa")
JOB = Job(
    id=JobId("r-1-1"),
    run=RunId("r"),
    name="say[1]",
    command=("echo", "hello"),
    image=Image("alpine:3"),
    environment={"LANG": "C", "A": "1"},
    staged=(INPUT,),
)


def key(job: Job, **identity: str) -> bytes:
    return describe(job, identity, {}).key


@pytest.mark.parametrize(
    "other",
    [
        replace(JOB, id=JobId("r-2-7"), run=RunId("s"), name="say[2]", attempt=3),
        replace(JOB, environment={"A": "1", "LANG": "C"}),
        replace(JOB, staged=(replace(INPUT, sources=("file:///elsewhere/b.txt",)),)),
        replace(JOB, resources=Resources(ram_mib=9999, time_limit_s=5, tmp_mib=1, out_mib=1)),
        replace(JOB, exit_codes=ExitCodes(temporary_failure=(75,), permanent_failure=(1,))),
    ],
)
def test_ids_places_and_limits_are_not_part_of_a_key(other):
    assert key(other) == key(JOB)


@pytest.mark.parametrize(
    ("other", "part"),
    [
        (replace(JOB, command=("echo", "bye")), "command word 1"),
        (replace(JOB, command=("echo", "hello", "you")), "command word 2"),
        (replace(JOB, image=Image("alpine:4")), "image"),
        (replace(JOB, image=None), "image"),
        (replace(JOB, environment={"LANG": "de", "A": "1"}), "environment LANG"),
        (replace(JOB, staged=(replace(INPUT, checksum="sha1$bb"),)), "input /in/0/a.txt"),
        (replace(JOB, staged=(replace(INPUT, target="/in/0/b.txt"),)), "input /in/0/a.txt"),
        (replace(JOB, staged=(replace(INPUT, writable=True),)), "input /in/0/a.txt"),
        (replace(JOB, stdin="/in/0/a.txt"), "stdin"),
        (replace(JOB, stdout="out"), "stdout"),
        (replace(JOB, stderr="err"), "stderr"),
        (replace(JOB, outputs=OutputRules(("*.txt",))), "outputs"),
        (replace(JOB, resources=Resources(cores=4)), "resources cores"),
        (replace(JOB, resources=Resources(network=True)), "resources network"),
        (replace(JOB, exit_codes=ExitCodes(success=(3,))), "success codes"),
        (replace(JOB, directories=JobDirectories(out="/other")), "directories"),
    ],
)
def test_what_a_tool_can_see_is_part_of_a_key_and_is_named(other, part):
    assert key(other) != key(JOB)
    assert part in [name for name, _, _ in differences(describe(other, {}, {}), describe(JOB, {}, {}))]


def test_an_input_without_a_checksum_has_to_be_identified():
    plain = replace(JOB, staged=(replace(INPUT, checksum=None),))
    assert [entry.target for entry in unidentified(plain)] == [INPUT.target]
    url = INPUT.sources[0]
    assert key(plain, **{url: "sha1$aa 3"}) != key(plain, **{url: "sha1$bb 3"})


def test_a_checksum_that_is_only_claimed_reports_nothing():
    url = INPUT.sources[0]
    assert list(unidentified(JOB)) == []
    assert [entry.target for entry in unidentified(JOB, {url})] == [INPUT.target]
    assert key(JOB, **{url: "sha1$aa 3"}) != key(JOB, **{url: "sha1$bb 3"})


def test_what_a_job_changes_in_its_place_is_known_by_its_place():
    changed = replace(JOB, in_place=True, staged=(replace(INPUT, writable=True),))
    later = replace(changed, staged=(replace(INPUT, writable=True, checksum="sha1$bb", size=4),))
    assert key(changed) == key(later)


def test_secrets_are_the_same_whatever_stands_for_them():
    one = replace(JOB, command=("login", "--password=(secret-1)"))
    two = replace(JOB, command=("login", "--password=(secret-2)"))
    assert describe(one, {}, {"(secret-1)": "(s)"}) == describe(two, {}, {"(secret-2)": "(s)"})
    assert describe(one, {}, {"(secret-1)": "(s)"}).key != describe(two, {}, {"(secret-2)": "(t)"}).key


def test_names_that_are_not_unicode_have_keys():
    assert key(replace(JOB, command=("cat", "\udcff"))) != key(replace(JOB, command=("cat", "\udcfe")))
