"""A light pilot: many slots in one process, for short jobs by the thousand where a real pilot runs one in two seconds.

    python -m gridcwl.testbed.dirac.inside.light_pilot SLOTS.json

The Matcher, the SandboxStore, the ProxyManager and JobStateUpdate are asked as a JobAgent and its JobWrapper ask them,
and a payload sees what it sees there: its input sandbox in its working directory, the same variables, its owner's
proxy. The last lines of its output become a parameter of the job, and what it cost goes to the accounting. What is left
out is the process between pilot and payload, and with it all other parameters, the watchdog's limits, InputData and
OutputData. SLOTS.json is a list: for each slot, how the section LocalSite of a pilot's configuration describes it.
"""

from __future__ import annotations

import contextlib
import json
import os
import shlex
import shutil
import signal
import subprocess
import sys
import threading
import time
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any
from urllib.parse import unquote

_IDLE_S = 1.0
_HEARTBEAT_S = 1.0
_KILL_AFTER_S = 5.0
_LAST_REPORTS = 15
_BETWEEN_REPORTS_S = 2.0
_SANDBOX_STORE = "WorkloadManagement/SandboxStore"
_SANDBOX_LIMIT = 10 * 2**20
_PROXY_LIFETIME_S = 86400
_PROXY_KEPT_S = 600
_LAST_LINES = 20  # JobWrapper's MaxJobPeekLines
_BETWEEN_ACCOUNTS_S = 2.0
_POLL_S = 0.05


@dataclass(frozen=True)
class PayloadExit:
    """How a payload ended: its exit code, or why there is none; and the CPU time that it took."""

    exit_code: int
    killed: bool = False
    cpu_s: float = 0.0


@dataclass(frozen=True)
class SharedState:
    """What all slots share: where jobs have their folders, and whether it ends."""

    folder: Path
    ending: threading.Event
    accounts: Accounts


class Accounts:
    """Records for DIRAC's accounting, as a JobWrapper sends them, sent together every few seconds."""

    def __init__(self, ending: threading.Event) -> None:
        self._ending = ending
        self._lock = threading.Lock()
        self._records: list[Any] = []

    def add(self, record: Any) -> None:
        """A job has ended."""
        with self._lock:
            self._records.append(record)

    def send(self) -> None:
        """Send what there is; what the service does not take is sent again the next time."""
        from DIRAC.AccountingSystem.Client.DataStoreClient import DataStoreClient

        with self._lock:
            records, self._records = self._records, []
        if not records:
            return
        client = DataStoreClient()
        client.disableFailover()
        for record in records:
            client.addRegister(record)
        if not client.commit()["OK"]:
            with self._lock:
                self._records = records + self._records

    def run(self) -> None:
        """Send until the pilot ends."""
        while not self._ending.wait(_BETWEEN_ACCOUNTS_S):
            self.send()
        self.send()


class OwnerProxies:
    """Proxies of the users whose jobs run here, fetched once in ten minutes each."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._known: dict[tuple[str, str], tuple[float, str]] = {}

    def proxy(self, owner: str, group: str) -> str:
        """The text of a proxy of this owner in this group."""
        from DIRAC.ConfigurationSystem.Client.Helpers.Registry import getDNForUsername
        from DIRAC.FrameworkSystem.Client.ProxyManagerClient import gProxyManager

        with self._lock:
            until, text = self._known.get((owner, group), (0.0, ""))
            if time.monotonic() > until:
                subject = _value(getDNForUsername(owner))[0]
                chain = _value(gProxyManager.getPayloadProxyFromDIRACGroup(subject, group, _PROXY_LIFETIME_S))
                text = _value(chain.dumpAllToString())
                text = text if isinstance(text, str) else text.decode()
                self._known[owner, group] = (time.monotonic() + _PROXY_KEPT_S, text)
            return text


class PilotSlot(threading.Thread):
    """One slot: asks for a job, runs it, asks for the next."""

    def __init__(
        self, local_site: dict[str, Any], asking: threading.Lock, owners: OwnerProxies, pilot: SharedState
    ) -> None:
        super().__init__(name=local_site["PilotReference"])
        self._asking = asking
        self._site = local_site["Site"]
        self._offer = _offer(local_site)
        self._owners = owners
        self._folder = pilot.folder
        self._ending = pilot.ending
        self._accounts = pilot.accounts

    def run(self) -> None:
        """Until the pilot ends."""
        from DIRAC.WorkloadManagementSystem.Client.MatcherClient import MatcherClient

        matcher = MatcherClient()
        while not self._ending.is_set():
            with self._asking:  # one of a site's idle slots asks, and rests, for all
                matched = matcher.requestJob(dict(self._offer))
                if not matched["OK"]:
                    if "No match found" not in matched["Message"]:
                        print(f"{self.name}: the Matcher gives no job: {matched['Message']}", flush=True)
                    self._ending.wait(_IDLE_S)
                    continue
            try:
                self._run_job(matched["Value"])
            except Exception as error:  # noqa: BLE001  a slot outlives its jobs
                print(f"{self.name}: job {matched['Value'].get('JobID')}: {error}", flush=True)

    def _run_job(self, matched: dict[str, Any]) -> None:
        from DIRAC.WorkloadManagementSystem.Client.JobReport import JobReport

        job = int(matched["JobID"])
        description = _description(matched["JDL"])
        report = JobReport(job, "JobWrapper")
        report.setJobStatus("Running", "Job Initialization", sendFlag=False)
        cost = _account(matched, description, self._site)
        outcome = PayloadExit(1)
        folder = self._folder / str(job)
        folder.mkdir()
        # beside the working directory: its contents are the user's
        proxy = self._folder / f"{job}.proxy"
        proxy.touch(mode=0o600)
        try:
            proxy.write_text(self._owners.proxy(matched["Owner"], matched["Group"]))
            _fetch_input(description.get("InputSandbox", []), folder, proxy)
            report.setJobStatus("Running", "Application", sendFlag=False)
            report.commit()  # goes with the next report if nobody answers, as a JobWrapper's
            outcome = self._run_payload(job, description, folder, proxy)
            _tell_last_lines(job, folder / description.get("StdOutput", "std.out"))
            _deliver_output(job, description.get("OutputSandbox", []), folder, proxy)
            _tell_outcome(report, outcome)
        except Failed as failure:
            report.setJobStatus("Failed", str(failure), sendFlag=False)
        finally:
            self._accounts.add(_ended(cost, report.jobStatusInfo, outcome.cpu_s))
            self._commit(report)
            shutil.rmtree(folder, ignore_errors=True)
            proxy.unlink(missing_ok=True)

    def _commit(self, report: Any) -> None:
        """Tell how the job ended, also if services are away for a while: a JobWrapper leaves a request for that."""
        for _ in range(_LAST_REPORTS):
            if report.commit()["OK"] or self._ending.wait(_BETWEEN_REPORTS_S):
                return

    def _run_payload(self, job: int, description: dict[str, Any], folder: Path, proxy: Path) -> PayloadExit:
        environment = {
            **os.environ,
            "JOBID": str(job),
            "DIRACSITE": self._site,
            "DIRAC_PROCESSORS": "1",  # what a JobWrapper says whatever the job asked for
            "DIRAC_WHOLENODE": "False",
            "DIRAC_JOB_PROCESSORS": str(_processors(description)),
            "X509_USER_PROXY": str(proxy),
            **_variables(description.get("ExecutionEnvironment", [])),
        }
        command = _command(description, folder)
        with (
            (folder / description.get("StdOutput", "std.out")).open("wb") as out,
            (folder / description.get("StdError", "std.err")).open("wb") as err,
        ):
            payload = subprocess.Popen(  # noqa: S602  a shell, as in the JobWrapper
                command,
                shell=True,
                cwd=folder,
                env=environment,
                stdin=subprocess.DEVNULL,
                stdout=out,
                stderr=err,
                start_new_session=True,
            )
            return self._attend(job, payload)

    def _attend(self, job: int, payload: subprocess.Popen[bytes]) -> PayloadExit:
        """Signs of life until it ends; a kill comes as the answer to one."""
        from DIRAC.WorkloadManagementSystem.Client.JobStateUpdateClient import JobStateUpdateClient

        update = JobStateUpdateClient()
        while True:
            if (ended := _waited(payload, _HEARTBEAT_S)) is not None:
                return ended
            answer = update.sendHeartBeat(job, {}, {})
            if self._ending.is_set() or "Kill" in (answer.get("Value") or {}):
                return replace(_end(payload), killed=True)


class Failed(Exception):
    """A job cannot be run; says its minor status."""


def _offer(local_site: dict[str, Any]) -> dict[str, Any]:
    """What a JobAgent would ask the Matcher with."""
    named = ("Site", "GridCE", "PilotReference", "NumberOfProcessors", "MaxRAM")
    offer = {name: local_site[name] for name in named}
    offer |= {"CPUTime": local_site["CPUTimeLeft"], "PilotBenchmark": 1.0, "PilotInfoReportedFlag": False}
    if local_site.get("Tag"):
        offer["Tag"] = list(local_site["Tag"])
    return offer


def _description(jdl: str) -> dict[str, Any]:
    """A job's JDL as text and lists of text."""
    from DIRAC.Core.Utilities.ClassAd.ClassAdLight import ClassAd

    job = ClassAd(jdl)
    described: dict[str, Any] = {}
    for name in job.getAttributes():
        is_list = job.lookupAttribute(name) and job.get_expression(name).strip().startswith("{")
        described[name] = job.getListFromExpression(name) if is_list else job.getAttributeString(name)
    for name in ("InputSandbox", "OutputSandbox", "ExecutionEnvironment"):
        if isinstance(described.get(name), str):
            described[name] = [described[name]] if described[name] else []
    return described


def _processors(description: dict[str, Any]) -> int:
    return int(description.get("NumberOfProcessors") or description.get("MinNumberOfProcessors") or 1)


def _variables(assignments: list[str]) -> dict[str, str]:
    named = (assignment.partition("=") for assignment in assignments)
    return {name: unquote(value) for name, _, value in named}


def _command(description: dict[str, Any], folder: Path) -> str:
    """As JobWrapper.__prepareCommand has it."""
    named = os.path.expandvars(description.get("Executable", "").strip())
    executable = folder / (named if "/" in named else shutil.which(named) or named)
    if not executable.is_file():
        raise Failed("Application not found")
    if not os.access(executable, os.X_OK):
        executable.chmod(0o775)
    return f"{shlex.quote(str(executable))} {description.get('Arguments', '')}".strip()


def _fetch_input(sandbox: list[str], folder: Path, proxy: Path) -> None:
    """As the owner: a pilot may not see a user's sandboxes.

    SandboxStoreClient.downloadSandbox acts as whoever X509_USER_PROXY says, which is one for all slots.
    """
    from DIRAC.Core.DISET.TransferClient import TransferClient
    from DIRAC.WorkloadManagementSystem.Client.SandboxStoreClient import ZstdCompatibleTarFile

    for each in sandbox:
        if not each.startswith("SB:"):
            continue  # a file's name, for the user to read: its bytes are in an archive
        archive = proxy.with_suffix(".tar")
        client = TransferClient(_SANDBOX_STORE, proxyLocation=str(proxy))
        if not client.receiveFile(str(archive), _SANDBOX_STORE + each.partition("|")[2])["OK"]:
            raise Failed("Input Sandbox Download Failed")
        try:
            with ZstdCompatibleTarFile(str(archive), mode="r") as tar:
                tar.extractall(folder, filter="data")
        finally:
            archive.unlink()


def _tell_last_lines(job: int, output: Path) -> None:
    """As JobWrapper.__sendFinalStdOut has it, without the lines of stderr that are among them there."""
    from DIRAC.WorkloadManagementSystem.Client.JobStateUpdateClient import JobStateUpdateClient

    lines = output.read_text("utf-8", "replace").splitlines()[-_LAST_LINES:] if output.exists() else []
    if lines:
        header = f"Last {len(lines)} lines of application output from JobWrapper"
        JobStateUpdateClient().sendHeartBeat(job, {}, {"StandardOutput": "\n".join([header, *lines])})


def _deliver_output(job: int, sandbox: list[str], folder: Path, proxy: Path) -> None:
    from DIRAC.WorkloadManagementSystem.Client.SandboxStoreClient import SandboxStoreClient

    files = sorted({str(path) for pattern in sandbox for path in folder.glob(pattern)})
    if not files:
        return
    store = SandboxStoreClient(proxyLocation=str(proxy))
    delivered = store.uploadFilesAsSandbox(files, _SANDBOX_LIMIT, {f"Job:{job}": "Output"})
    if not delivered["OK"]:
        raise Failed("Failed to upload output sandbox")


def _tell_outcome(report: Any, outcome: PayloadExit) -> None:
    if outcome.killed:
        report.setJobStatus("Failed", "Received Kill signal", sendFlag=False)
        return
    failed = outcome.exit_code != 0
    application = "Application Finished With Errors" if failed else "Application Finished Successfully"
    report.setJobStatus("Completing", application, sendFlag=False)
    if failed:
        report.setJobStatus("Failed", application, sendFlag=False)
    else:
        report.setJobStatus("Done", "Execution Complete", sendFlag=False)


def _waited(payload: subprocess.Popen[bytes], seconds: float) -> PayloadExit | None:
    """How a payload has ended, with the CPU time of it and of its children; None if it has not yet."""
    until, pause = time.monotonic() + seconds, 0.001
    while True:
        pid, status, used = os.wait4(payload.pid, os.WNOHANG)
        if pid:
            payload.returncode = os.waitstatus_to_exitcode(status)
            return PayloadExit(payload.returncode, cpu_s=used.ru_utime + used.ru_stime)
        if time.monotonic() > until:
            return None
        time.sleep(pause)
        pause = min(_POLL_S, 2 * pause)


def _end(payload: subprocess.Popen[bytes]) -> PayloadExit:
    for number in (signal.SIGTERM, signal.SIGKILL):
        with contextlib.suppress(ProcessLookupError):
            os.killpg(payload.pid, number)
        if (ended := _waited(payload, _KILL_AFTER_S)) is not None:
            return ended
    return PayloadExit(-signal.SIGKILL)


def _account(matched: dict[str, Any], description: dict[str, Any], site: str) -> Any:
    """The record of a job that begins, as JobWrapper.sendJobAccounting has it."""
    from DIRAC.AccountingSystem.Client.Types.Job import Job

    record = Job()
    record.setStartTime()
    named = {
        "User": matched["Owner"],
        "UserGroup": matched["Group"],
        "JobGroup": description.get("JobGroup") or "unknown",
        "JobType": description.get("JobType") or "unknown",
        "JobClass": "unknown",
        "ProcessingType": "unknown",
        "Site": site,
    }
    record.setValuesFromDict(named)
    record.processors = _processors(description)
    return record


def _ended(record: Any, states: list[Any], cpu_s: float) -> Any:
    """The record of a job that has ended, in whole seconds as of a JobWrapper; without sandboxes and disk space."""
    record.setEndTime()
    begun, ended = record.startTime, record.endTime
    last = states[-1] if states else ("unknown", "unknown")
    unknown = ("InputDataSize", "OutputDataSize", "InputDataFiles", "OutputDataFiles", "DiskSpace",
               "InputSandBoxSize", "OutputSandBoxSize", "ProcessedEvents")  # fmt: skip
    record.setValuesFromDict(
        {
            "FinalMajorStatus": last[0],
            "FinalMinorStatus": last[1],
            "CPUTime": int(cpu_s),
            "NormCPUTime": int(cpu_s),
            "ExecTime": int((ended - begun).total_seconds()) * record.processors,
            **dict.fromkeys(unknown, 0),
        }
    )
    return record


def _value(result: Any) -> Any:
    if not result["OK"]:
        raise Failed(result["Message"])
    return result.get("Value")


def main() -> None:
    """Run all slots until asked to end."""
    slots = json.loads(Path(sys.argv[1]).read_text())
    os.environ.pop("PYTHONPATH", None)  # payloads are to see the environment of a machine on the grid
    from DIRAC.Core.Base.Script import Script

    sys.argv = ["light-pilot", "-o", "LogLevel=ERROR"]
    Script.parseCommandLine()
    folder = Path.cwd() / "jobs"
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir()
    ending = threading.Event()
    signal.signal(signal.SIGTERM, lambda *_: ending.set())
    owners = OwnerProxies()
    asking = {slot["Site"]: threading.Lock() for slot in slots}
    accounts = Accounts(ending)
    pilot = SharedState(folder, ending, accounts)
    threads = [PilotSlot(slot, asking[slot["Site"]], owners, pilot) for slot in slots]
    for thread in threads:
        thread.start()
    sender = threading.Thread(target=accounts.run, name="accounts")
    sender.start()
    for thread in threads:
        thread.join()
    sender.join()
    accounts.send()


if __name__ == "__main__":
    main()
