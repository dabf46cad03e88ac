"""What a job needs, in DIRAC's terms, and which sites can run it."""

from __future__ import annotations

import pytest
from dirac_builders import a_job

from gridcwl.backends.dirac import matching
from gridcwl.backends.dirac.matching import JobRequirements, Limits, Wishes
from gridcwl.backends.dirac.sites import DiracSite, Queue, offers
from gridcwl.errors import BackendError, ConfigError
from gridcwl.model import Placement, Resources, StagedFile, Storage, StorageElement

LYON = DiracSite("Lyon", (Queue("q", 4, 8192, 36_000),))
CNAF = DiracSite("CNAF", (Queue("q", 2, 4096, 36_000, ("GPU",)),))
ORSAY = DiracSite("Orsay", (Queue("q", 1, 1024, 3_600),))
CLOSED = DiracSite("Meudon", (Queue("q", 64, 65536, 36_000),), "Banned")
ALL = (LYON, CNAF, ORSAY, CLOSED)


def needs(wishes: Wishes | None = None, **resources: object) -> JobRequirements:
    return matching.needs_of(a_job(resources=Resources(**resources)), wishes or Wishes(), Limits(), ALL)


def sites(**resources: object) -> list[str]:
    return matching.fitting(needs(**resources), ALL)


def test_a_small_job_runs_at_every_open_site():
    assert sites() == ["Lyon", "CNAF", "Orsay"]


def test_cores_memory_time_and_gpus_choose_the_sites():
    assert sites(cores=1.5) == ["Lyon", "CNAF"]
    assert sites(ram_mib=5000) == ["Lyon"]
    assert sites(time_limit_s=7200) == ["Lyon", "CNAF"]
    assert sites(gpus=1) == ["CNAF"]


def test_memory_that_every_site_has_is_not_asked_for():
    assert needs(ram_mib=1000).ram_mib is None
    assert needs(ram_mib=1500).ram_mib == 1500


def test_times_are_kept_within_what_the_server_takes():
    assert needs(time_limit_s=5).cpu_time_s == 100
    assert needs(time_limit_s=10**7).cpu_time_s == 500_000
    assert needs().cpu_time_s is None
    assert needs(Wishes(cpu_time_s=900)).cpu_time_s == 900


def test_the_document_goes_over_the_defaults_and_a_step_over_the_document():
    wishes = Wishes(
        placement=Placement(sites=("Lyon",), priority=1, tags=("SSD",)),
        steps={"sort": Placement(sites=("CNAF",))},
    )
    job = a_job(name="align/sort[3]", placement=Placement(priority=7, banned=("Orsay",)))
    found = matching.needs_of(job, wishes, Limits(), ALL)
    assert (found.sites, found.priority, found.tags) == (("CNAF",), 7, ("SSD",))


def test_a_banned_site_is_taken_off_the_wanted_ones():
    job = a_job(placement=Placement(sites=("Lyon", "CNAF"), banned=("Lyon",)))
    found = matching.needs_of(job, Wishes(), Limits(), ALL)
    assert (found.sites, found.banned) == (("CNAF",), ())


def test_a_job_that_no_site_can_run_is_refused_by_the_requirement():
    job = a_job(resources=Resources(cores=100))
    with pytest.raises(BackendError, match=r"at most 4 core.*coresMin"):
        matching.refuse_homeless(job, matching.needs_of(job, Wishes(), Limits(), ALL), ALL[:3])


def test_a_site_that_is_closed_now_may_open_again():
    job = a_job(resources=Resources(cores=50))
    matching.refuse_homeless(job, matching.needs_of(job, Wishes(), Limits(), ALL), ALL)


def test_a_site_that_dirac_does_not_know_is_a_mistake():
    job = a_job(placement=Placement(sites=("Lion",)))
    with pytest.raises(ConfigError, match="Lion, which DIRAC does not know"):
        matching.refuse_homeless(job, matching.needs_of(job, Wishes(), Limits(), ALL), ALL)


def test_a_job_type_that_the_server_does_not_take_is_refused():
    with pytest.raises(BackendError, match="type Nonsense"):
        matching.needs_of(a_job(placement=Placement(job_type="Nonsense")), Wishes(), Limits())


def test_what_cannot_be_honoured_is_reported():
    job = a_job(placement=Placement(platform="x86_64", priority=100), resources=Resources(time_limit_s=10**6))
    text = " ".join(matching.not_honoured(job, Wishes(), Limits()))
    assert "x86_64" in text
    assert "priority 100 is made 10" in text
    assert "1000000 s" in text
    assert matching.not_honoured(a_job(), Wishes(), Limits()) == []


# -- data near -----------------------------------------------------------------------------------------------------

STORAGE = Storage(
    "user",
    "p.",
    (
        StorageElement("LYON-DISK", ("file:///lyon/",), ("Lyon",)),
        StorageElement("CNAF-DISK", ("davs://cnaf/",), ("CNAF",)),
        StorageElement("MEUDON-DISK", ("davs://meudon/",), ("Meudon",)),
    ),
    "rucio",
)


def reading(**bytes_by_url: int) -> object:
    staged = tuple(
        StagedFile(f"/in/{number}", "file", (url.replace("__", "://"),), size=size)
        for number, (url, size) in enumerate(bytes_by_url.items())
    )
    return a_job(storage=STORAGE, staged=staged)


def placed(job: object, locality: str, local_bytes: int = 0) -> tuple[str, ...]:
    wishes = Wishes(locality=locality, local_bytes=local_bytes)
    return matching.near_data(job, matching.needs_of(job, wishes, Limits(), ALL), wishes, ALL).sites


def test_jobs_go_where_most_of_their_input_is():
    job = reading(**{"file__/lyon/a": 10, "davs__cnaf/b": 90})
    assert placed(job, "prefer") == ("CNAF",)
    assert placed(job, "strict") == ("CNAF",)
    assert placed(job, "off") == ()


def test_where_little_is_to_be_moved_any_site_will_do():
    assert placed(reading(**{"davs__cnaf/b": 90}), "prefer", local_bytes=100) == ()


def test_data_at_a_closed_site_do_not_hold_a_job_up_unless_that_is_wanted():
    job = reading(**{"davs__meudon/b": 90})
    assert placed(job, "prefer") == ()
    with pytest.raises(BackendError, match="none of these sites can run it"):
        placed(job, "strict")


def test_what_is_to_be_moved_depends_on_the_site():
    job = reading(**{"file__/lyon/a": 10, "davs__cnaf/b": 90})
    assert matching.bytes_to_move(job, ["Lyon", "CNAF", "Orsay"]) == (10, 100)
    assert matching.bytes_to_move(job, ["Lyon"]) == (90, 90)
    assert matching.bytes_to_move(job, []) == (10, 100)


def test_a_preference_is_no_demand():
    wishes = Wishes(local_bytes=0)
    job = reading(**{"file__/lyon/a": 10, "davs__cnaf/b": 90})
    base = matching.needs_of(job, wishes, Limits(), ALL)
    here = matching.placed(job, base, wishes, ALL)
    assert (here.sites, here.near) == (("CNAF",), True)
    assert matching.placed(job, base, wishes, ALL, anywhere=True) == base
    failed = matching.placed(job, base, wishes, ALL, failed=["CNAF"])
    assert (failed.sites, failed.banned) == ((), ("CNAF",))


def test_a_strict_locality_is_never_given_up():
    wishes = Wishes(local_bytes=0, locality="strict")
    job = reading(**{"davs__cnaf/b": 90})
    base = matching.needs_of(job, wishes, Limits(), ALL)
    for given in ({}, {"anywhere": True}, {"failed": ["CNAF"]}):
        found = matching.placed(job, base, wishes, ALL, **given)
        assert (found.sites, found.near) == (("CNAF",), False)


# -- elsewhere -----------------------------------------------------------------------------------------------------


def test_a_job_is_tried_again_at_another_site():
    assert matching.elsewhere(JobRequirements(), ["Lyon"], ALL).banned == ("Lyon",)
    assert matching.elsewhere(JobRequirements(sites=("Lyon", "CNAF")), ["Lyon"], ALL).sites == ("CNAF",)


def test_a_site_that_is_the_only_one_is_tried_again():
    assert matching.elsewhere(JobRequirements(sites=("Lyon",)), ["Lyon"], ALL) == JobRequirements(sites=("Lyon",))
    only = JobRequirements(tags=("GPU",))
    assert matching.elsewhere(only, ["CNAF"], ALL) == only


# -- what sites offer ----------------------------------------------------------------------------------------------


def test_a_queue_reports_it_or_its_element_or_the_site():
    root = "/Resources/Sites/LCG/LCG.Lyon.fr"
    tree = {
        root: None,
        f"{root}/SE": "LYON-DISK, LYON-TAPE",
        f"{root}/Tag": "SSD",
        f"{root}/CEs/ce/MaxRAM": "4096",
        f"{root}/CEs/ce/Queues/long/maxCPUTime": "2880",
        f"{root}/CEs/ce/Queues/long/NumberOfProcessors": "8",
        f"{root}/CEs/ce/Queues/gpu/Tag": "GPU",
        f"{root}/CEs/ce/Queues/gpu/RequiredTag": "GPU",
    }
    (site,) = offers(tree, ["LCG.Lyon.fr"])
    gpu, long = site.queues
    assert (long.name, long.processors, long.ram_mib, long.cpu_time_s, long.tags) == (
        "ce/long",
        8,
        4096,
        172_800,
        ("SSD",),
    )
    assert (gpu.tags, gpu.required_tags, gpu.processors) == (("GPU", "SSD"), ("GPU",), None)
    assert site.storage == ("LYON-DISK", "LYON-TAPE")
    assert site.open


def test_a_site_that_dirac_does_not_use_is_closed():
    (site,) = offers({"/Resources/Sites/LCG/LCG.Meudon.fr/Name": "Meudon"}, [])
    assert not site.open


def test_a_queue_for_gpu_jobs_takes_no_others():
    picky = DiracSite("X", (Queue("q", tags=("GPU",), required_tags=("GPU",)),))
    assert "only jobs that ask for GPU" in str(matching.why_not(JobRequirements(), picky))
    assert matching.why_not(JobRequirements(tags=("GPU",)), picky) is None
