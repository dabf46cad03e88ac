"""What gridcwl counts on when it asks DIRAC, and what it has to be ready for. Runs on the fake and on a real DIRAC."""

from __future__ import annotations

import io
import tarfile
import time
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

NOBODY = 999_999_999
ENDED = {"Done", "Failed"}


class DiracContract:
    """Submission, states, kills, sandboxes, matching: answers and refusals."""

    @pytest.fixture
    def clients(self) -> Any:
        """DIRAC's clients: see ``gridcwl.testbed.dirac.clients`` and ``gridcwl.testbed.fakes.dirac``."""
        raise NotImplementedError

    @pytest.fixture(autouse=True)
    def folder(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
        """Where we are: WMSClient takes input sandboxes from the working directory."""
        here = tmp_path / "here"
        here.mkdir()
        monkeypatch.chdir(here)
        return here

    @pytest.fixture
    def submit(self, clients: Any, folder: Path) -> Iterator[Callable[..., Any]]:
        """``submit("echo hello", Tags='{"GPU"}')``: the number of a job that runs this script, or numbers."""
        mine: list[int] = []

        def submit(script: str = "true", arguments: str = "", **more: str) -> Any:
            (folder / "run.sh").write_text(script + "\n")
            answer = clients.wms().submitJob(jdl(f"run.sh {arguments}".strip(), **more))
            assert answer["OK"], answer["Message"]
            mine.extend(numbers(answer["Value"]))
            return answer["Value"]

        yield submit
        clients.wms().killJob(mine)
        clients.wms().deleteJob(mine)

    @pytest.fixture
    def states(self, clients: Any) -> Callable[..., list[tuple[str, str]]]:
        """Status and minor status of jobs."""

        def states(jobs: Any) -> list[tuple[str, str]]:
            found = clients.monitoring().getJobsStates(numbers(jobs))
            assert found["OK"], found["Message"]
            return [(found["Value"][job]["Status"], found["Value"][job]["MinorStatus"]) for job in numbers(jobs)]

        return states

    @pytest.fixture
    def finish(self, states: Callable[..., list[tuple[str, str]]]) -> Callable[..., list[tuple[str, str]]]:
        """Their states when they have ended.

        Status and minor status may not change in one step, so that what is seen once has to be seen again.
        """

        def finish(jobs: Any, ended: set[str] = ENDED) -> list[tuple[str, str]]:
            seen: list[list[tuple[str, str]]] = []

            def settled(now: list[tuple[str, str]]) -> bool:
                seen.append(now)
                return all(status in ended for status, _ in now) and seen[-2:] == [now, now]

            return until(lambda: states(jobs), settled)

        return finish

    @pytest.fixture
    def output(self, clients: Any, tmp_path: Path) -> Callable[[int], str]:
        """A job's std.out."""

        def output(job: int) -> str:
            folder = tmp_path / f"out-{job}"
            fetched = clients.sandboxes().downloadSandboxForJob(job, "Output", str(folder))
            assert fetched["OK"], fetched["Message"]
            return (folder / "std.out").read_text()

        return output

    # ---- submission

    def test_a_job_has_its_input_sandbox_and_leaves_its_output_sandbox(self, submit, finish, output, folder):
        (folder / "in.txt").write_text("from afar\n")
        job = submit("cat in.txt", InputSandbox='{"run.sh","in.txt"}')
        assert finish(job) == [("Done", "Execution Complete")]
        assert output(job) == "from afar\n"

    def test_the_last_lines_of_a_job_s_output_are_a_parameter_however_long_they_are(self, submit, finish, clients):
        long = "0123456789" * 800
        jobs = [submit(f"seq 100; echo {long}"), submit("echo short")]
        finish(jobs)
        answer = clients.monitoring().getJobParameters(jobs, "StandardOutput")["Value"]
        assert answer[jobs[0]]["StandardOutput"].splitlines()[-2:] == ["100", long]
        assert answer[jobs[1]]["StandardOutput"].splitlines()[-1] == "short"

    def test_a_payload_knows_its_job_and_its_site(self, submit, finish, output, clients):
        job = submit('echo "$JOBID $DIRACSITE $DIRAC_JOB_PROCESSORS"')
        finish(job)
        site = clients.monitoring().getJobsSites([job])["Value"][job]["Site"]
        assert output(job).split() == [str(job), site, "1"]

    def test_a_parametric_submission_is_a_job_for_each_parameter(self, submit, finish, output, clients):
        jobs = submit("echo $1", "%s", Parameters='{"red","green","blue"}', JobName='"colour_%n"')
        finish(jobs)
        assert [output(job).strip() for job in jobs] == ["red", "green", "blue"]
        summary = clients.monitoring().getJobsSummary(jobs)["Value"]
        assert [summary[str(job)]["JobName"] for job in jobs] == ["colour_0", "colour_1", "colour_2"]

    def test_parameters_can_have_names(self, submit, finish, output):
        named = {"Parameters.A": '{"1","2"}', "Parameters.B": '{"x","y"}', "Parameters": "2"}
        jobs = submit("echo $1$2", "%(A)s %(B)s", **named)
        finish(jobs)
        assert [output(job).strip() for job in jobs] == ["1x", "2y"]

    def test_a_single_job_is_not_a_list(self, submit):
        assert isinstance(submit(), int)

    def test_parametric_jobs_do_not_start_before_they_are_confirmed(self, clients, states, finish):
        answer = clients.manager().submitJob('[Executable = "/bin/true"; Parameters = 2;]')
        assert states(answer["Value"]) == [("Submitting", "Bulk transaction confirmation")] * 2
        assert clients.manager().confirmBulkSubmission(answer["Value"])["Value"] == answer["Value"]
        assert finish(answer["Value"]) == [("Done", "Execution Complete")] * 2

    def test_jobs_that_are_not_known_cannot_be_confirmed(self, clients):
        assert clients.manager().confirmBulkSubmission([NOBODY])["Errno"] == 1503

    def test_more_jobs_than_the_server_takes_are_refused_with_its_limit(self, clients):
        limit = clients.config.getValue("/Systems/WorkloadManagement/Services/JobManager/MaxParametricJobs", 0)
        answer = clients.wms().submitJob(f'Executable = "/bin/true"; Parameters = {limit + 1};')
        assert not answer["OK"]
        assert f"exceeds the limit of {limit}" in answer["Message"]

    @pytest.mark.parametrize(
        ("wrong", "why"),
        [
            ({"Executable": '""'}, "executable must not be an empty string"),
            ({"Priority": "50"}, "priority out of bounds"),
            ({"JobType": '"Wild"'}, "jobType 'Wild' is not allowed"),
            ({"Site": '"Nowhere.Else.xy"'}, "Invalid sites: Nowhere.Else.xy"),
            ({"Arguments": '"-c "true""'}, "value seems a list"),
        ],
    )
    def test_a_wrong_description_is_refused(self, clients, wrong, why):
        attributes = {"Executable": '"/bin/true"', **wrong}
        answer = clients.wms().submitJob("".join(f"{name} = {value};" for name, value in attributes.items()))
        assert not answer["OK"]
        assert why in answer["Message"]

    def test_what_is_no_description_is_refused(self, clients):
        assert clients.wms().submitJob("Executable=")["Errno"] == 1501

    def test_a_missing_file_of_the_input_sandbox_is_named(self, clients):
        answer = clients.wms().submitJob('Executable = "/bin/true"; InputSandbox = {"nowhere"};')
        assert answer["BadFile"] == ["nowhere"]

    # ---- states

    def test_jobs_that_are_not_known_are_left_out(self, clients, submit):
        job = submit()
        assert list(clients.monitoring().getJobsStates([job, NOBODY])["Value"]) == [job]
        assert clients.monitoring().getJobsStates([])["Value"] == {}
        assert clients.monitoring().getJobAttributes(NOBODY)["Value"] == {}

    def test_a_payload_that_fails_is_seen_with_its_output(self, submit, finish, output):
        job = submit("echo so far; exit 3")
        assert finish(job) == [("Failed", "Application Finished With Errors")]
        assert output(job) == "so far\n"

    def test_a_program_that_is_not_there_is_seen(self, submit, finish):
        assert finish(submit(Executable='"/nowhere/program"')) == [("Failed", "Application not found")]

    def test_jobs_are_found_by_group_and_status_as_text(self, clients, submit, finish):
        group = f"group-{uuid.uuid4().hex[:8]}"
        good, bad = submit(JobGroup=f'"{group}"'), submit("exit 1", JobGroup=f'"{group}"')
        finish([good, bad])
        find = clients.monitoring().getJobs
        assert find({"JobGroup": group})["Value"] == [str(good), str(bad)]
        assert find({"JobGroup": group, "Status": ["Failed", "Killed"]})["Value"] == [str(bad)]
        assert find({"JobGroup": "no such group"})["Value"] == []
        assert not find({"NoSuchAttribute": "1"})["OK"]

    def test_parameters_of_jobs_that_are_not_known_are_empty(self, clients):
        assert clients.monitoring().getJobParameters([NOBODY])["Value"] == {NOBODY: {}}

    # ---- kill, delete, reschedule, remove

    def test_a_job_that_waits_is_killed_at_once(self, clients, submit, states):
        job = submit(Tags='{"NOBODY_HAS_THIS"}')
        until(lambda: states(job), lambda now: now == [("Waiting", "Pilot Agent Submission")])
        assert clients.wms().killJob(job)["Value"] == [job]
        assert states(job) == [("Killed", "Marked for termination")]

    def test_a_job_that_runs_is_killed_and_fails(self, clients, submit, states, finish):
        job = submit("sleep 1000")
        until(lambda: states(job), lambda now: now == [("Running", "Application")])
        assert clients.wms().killJob([job])["Value"] == [job]
        assert finish(job) == [("Failed", "Received Kill signal")]

    def test_what_has_ended_is_not_killed(self, clients, submit, states, finish):
        job = submit()
        finish(job)
        assert clients.wms().killJob(job)["Value"] == []
        assert states(job) == [("Done", "Execution Complete")]

    def test_jobs_that_are_not_known_are_named(self, clients):
        answer = clients.wms().killJob([NOBODY])
        assert (answer["OK"], answer["Value"], answer["InvalidJobIDs"]) == (True, [], [NOBODY])
        answer = clients.wms().rescheduleJob([NOBODY])
        assert (answer["OK"], answer["InvalidJobIDs"]) == (False, [NOBODY])

    def test_to_kill_nothing_is_fine(self, clients):
        assert clients.wms().killJob([])["Value"] == []

    def test_a_deleted_job_is_still_known_and_a_removed_one_is_not(self, clients, submit, states, finish):
        job = submit()
        finish(job)
        assert clients.wms().deleteJob(job)["Value"] == [job]
        assert states(job) == [("Deleted", "Checking accounting")]
        assert clients.wms().removeJob([job])["Value"] == [job]
        assert clients.monitoring().getJobsStates([job])["Value"] == {}

    def test_a_rescheduled_job_runs_again(self, clients, submit, finish):
        job = submit("exit 1")
        finish(job)
        assert clients.wms().rescheduleJob(job)["Value"] == [job]
        finish(job)
        assert clients.monitoring().getJobAttributes(job)["Value"]["RescheduleCounter"] == 1

    # ---- which site takes which job

    @pytest.mark.parametrize(
        ("asked", "site"),
        [
            ({"Tags": '{"GPU"}'}, "LCG.CNAF.it"),
            ({"NumberOfProcessors": "4"}, "LCG.Lyon.fr"),
            ({"MinRAM": "6000"}, "LCG.Lyon.fr"),
            ({"Site": '"LCG.Orsay.fr"'}, "LCG.Orsay.fr"),
            ({"Site": '{"LCG.Meudon.fr","LCG.CNAF.it"}'}, "LCG.CNAF.it"),
            ({"BannedSites": '{"LCG.Lyon.fr","LCG.CNAF.it"}'}, "LCG.Orsay.fr"),
        ],
    )
    def test_a_job_goes_where_it_can_run(self, clients, submit, finish, asked, site):
        job = submit(**asked)
        assert finish(job) == [("Done", "Execution Complete")]
        assert clients.monitoring().getJobsSites([job])["Value"][job]["Site"] == site

    @pytest.mark.parametrize("asked", [{"Tags": '{"NOBODY_HAS_THIS"}'}, {"NumberOfProcessors": "64"}])
    def test_a_job_that_no_site_can_run_waits(self, submit, states, finish, asked):
        job = submit(**asked)
        finish(submit())  # a later one is not held up by it
        until(lambda: states(job), lambda now: now == [("Waiting", "Pilot Agent Submission")])

    def test_a_job_for_a_banned_site_reports_it(self, clients, submit):
        job = submit(Site='"LCG.Meudon.fr"')
        state = until(
            lambda: clients.monitoring().getJobsStates([job])["Value"][job], lambda now: now["Status"] == "Checking"
        )
        text = until(
            lambda: clients.monitoring().getJobsStates([job])["Value"][job]["ApplicationStatus"],
            lambda now: now != "Unknown",
        )
        assert (state["MinorStatus"], text) == ("JobScheduling", "Requested site(s) LCG.Meudon.fr are inactive")

    def test_sites_are_reported_with_what_they_have(self, clients):
        assert set(clients.site_status().getUsableSites()["Value"]) == {"LCG.Lyon.fr", "LCG.CNAF.it", "LCG.Orsay.fr"}
        tree = clients.config.getConfigurationTree("/Resources/Sites")["Value"]
        cnaf = "/Resources/Sites/LCG/LCG.CNAF.it"
        assert tree[f"{cnaf}/SE"] == "CNAF-DAVS"
        assert str(tree[f"{cnaf}/CEs/ce.lcg.cnaf.it/Tag"]) == "GPU"

    # ---- sandboxes

    def test_one_sandbox_serves_many_jobs(self, clients, folder, finish, output):
        (folder / "run.sh").write_text("echo shared\n")
        location = clients.sandboxes().uploadFilesAsSandbox(["run.sh"])["Value"]
        answer = clients.wms().submitJob(jdl("run.sh", InputSandbox=f'{{"{location}"}}', Parameters="2"))
        assert finish(answer["Value"]) == [("Done", "Execution Complete")] * 2
        assert [output(job) for job in answer["Value"]] == ["shared\n"] * 2

    def test_an_output_sandbox_comes_as_an_archive(self, clients, submit, finish):
        job = submit("echo one > a.dat; echo two > b.dat", OutputSandbox='{"*.dat"}')
        finish(job)
        content = clients.sandboxes().downloadSandboxForJob(job, "Output", "", True)["Value"]
        with tarfile.open(fileobj=io.BytesIO(content)) as tar:
            assert sorted(tar.getnames()) == ["a.dat", "b.dat"]

    def test_an_output_sandbox_that_is_not_there_is_reported(self, clients):
        answer = clients.sandboxes().downloadSandboxForJob(NOBODY, "Output", "", True)
        assert f"No Output sandbox found for job {NOBODY}" in answer["Message"]

    def test_a_file_that_is_not_there_cannot_be_left(self, clients):
        assert "nowhere" in clients.sandboxes().uploadFilesAsSandbox(["nowhere"])["Message"]

    # ---- who we are

    def test_the_proxy_reports_who_we_are(self, clients):
        info = clients.proxy_info()["Value"]
        assert (info["username"], info["group"], info["secondsLeft"] > 0) == ("runner", "gridcwl_user", True)


def jdl(arguments: str, **more: str) -> str:
    """A description of a job that runs a shell script."""
    attributes = {
        "Executable": '"/bin/sh"',
        "Arguments": f'"{arguments}"',
        "InputSandbox": '{"run.sh"}',
        "StdOutput": '"std.out"',
        "OutputSandbox": '{"std.out"}',
        **more,
    }
    return "".join(f"{name} = {value};\n" for name, value in attributes.items())


def numbers(jobs: Any) -> list[int]:
    return jobs if isinstance(jobs, list) else [jobs]


def until(ask: Callable[[], Any], good: Callable[[Any], bool], within_s: float = 120) -> Any:
    """What is answered once it is good."""
    end = time.monotonic() + within_s
    while not good(now := ask()):
        assert time.monotonic() < end, f"still {now} after {within_s} s"
        time.sleep(0.05)
    return now
