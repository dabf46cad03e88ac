"""The testbed's DIRAC: real JobWrappers, patches that still have a reason, and servers that come and go."""

from __future__ import annotations

import contextlib
import stat
import subprocess
import time
import uuid
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta

import psutil
import pytest
from waiting import files_below

from gridcwl.backends.dirac.accounting import SERVICE, accounted
from gridcwl.cli.main import main
from gridcwl.testbed.dirac.inside import patches
from gridcwl.testbed.dirac.layout import PROCESSES
from gridcwl.testbed.dirac.selftest import selftest

# GridCE of pilots that run JobWrappers, as against light ones
REAL = '"ce.lcg.lyon.fr"'
LIGHT = '"light.ce.lcg.lyon.fr"'


def run_job(clients, tmp_path, script, **more):
    """A job's state and output when it has ended."""
    (tmp_path / "run.sh").write_text(script + "\n")
    attributes = {
        "Executable": '"/bin/sh"',
        "Arguments": '"run.sh"',
        "InputSandbox": '{"run.sh"}',
        "StdOutput": '"std.out"',
        "OutputSandbox": '{"std.out"}',
        **more,
    }
    answer = clients.wms().submitJob("".join(f"{name} = {value};" for name, value in attributes.items()))
    assert answer["OK"], answer["Message"]
    state = until(
        lambda: clients.monitoring().getJobsStates([answer["Value"]])["Value"][answer["Value"]],
        lambda state: state["Status"] in {"Done", "Failed"},
    )
    fetched = clients.sandboxes().downloadSandboxForJob(answer["Value"], "Output", str(tmp_path / "out"))
    assert fetched["OK"], fetched["Message"]
    return state, (tmp_path / "out" / "std.out").read_text()


def until(ask, good, within_s=120):
    end = time.monotonic() + within_s
    while not good(now := ask()):
        assert time.monotonic() < end, f"still {now}"
        time.sleep(0.1)
    return now


@pytest.fixture
def here(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    return tmp_path


# ---- jobs


def test_a_real_job_wrapper_runs_a_payload_as_its_owner(dirac_clients, here):
    script = "echo $DIRACSITE; openssl x509 -noout -subject -in $X509_USER_PROXY; test -z $PYTHONPATH"
    state, output = run_job(dirac_clients, here, script, GridCE=REAL)
    assert state["MinorStatus"] == "Execution Complete"
    site, subject = output.splitlines()
    assert site == "LCG.Lyon.fr"
    assert "CN = runner" in subject


def test_a_light_pilot_gives_a_payload_the_variables_that_a_job_wrapper_gives(dirac_clients, here):
    names = "env | sed 's/=.*//' | grep -E 'DIRAC|JOBID|X509' | grep -v -x -E 'AGENT.*|DIRAC_NO_CFG' | sort"
    light = run_job(dirac_clients, here, names, GridCE=LIGHT)[1]
    real = run_job(dirac_clients, here, names, GridCE=REAL)[1]
    assert light == real


def test_the_accounting_has_what_a_job_of_a_light_pilot_cost(dirac_clients, here):
    group = f"t{uuid.uuid4().hex[:12]}"
    busy = "python3 -c 'import time\nwhile time.process_time() < 1.5: pass'; echo done"
    run_job(dirac_clients, here, busy, GridCE=LIGHT, JobGroup=f'"{group}"')
    (cost,) = until(lambda: accounted_for(group), lambda found: found and found[0].jobs, within_s=300)
    assert (cost.name, cost.jobs) == (group, 1)
    assert round(cost.cpu_s) >= 1  # whole seconds, sent as days
    assert round(cost.wall_s) >= 1


def accounted_for(group):
    """What the accounting has now: the service would give the same answer to the same question for ten minutes."""
    from DIRAC.Core.Base.Client import Client

    def ask(query):
        answer = Client(url=SERVICE).getReport(query)
        assert answer["OK"], answer["Message"]
        return answer["Value"]

    return accounted(ask, [group, f"not-{uuid.uuid4().hex}"], "run", None, time.time())


@pytest.mark.docker
def test_a_payload_can_run_containers(dirac_clients, here):
    state, output = run_job(dirac_clients, here, "docker version --format '{{.Server.Version}}'", GridCE=REAL)
    assert state["Status"] == "Done"
    assert output.strip()


@pytest.mark.usefixtures("dirac")
def test_the_selftest_passes(testbed):
    rows = selftest(testbed, print)
    assert [row for row in rows if not row.passed] == []
    assert {row.what for row in rows} >= {f"runs a job with its sandboxes at LCG.{s}" for s in ("Lyon.fr", "CNAF.it")}


# ---- patches


@pytest.mark.parametrize("patch", patches.PATCHES, ids=lambda patch: patch.name)
def test_what_a_patch_is_about_still_stands_in_dirac(dirac, patch):
    dirac.install(print)
    text = (dirac.surroundings.package / patch.file).read_text().splitlines()
    quoted = patch.quotation.splitlines()
    found = text[patch.line - 1 : patch.line - 1 + len(quoted)]
    assert [line.strip() for line in found] == [line.strip() for line in quoted], "DIRAC says something else now"


@pytest.mark.usefixtures("dirac")
def test_services_listen_on_loopback_only(testbed):
    ours = {testbed.processes.pid(name) for name in PROCESSES}
    listening = [c for c in psutil.net_connections("tcp") if c.status == psutil.CONN_LISTEN and c.pid in ours]
    assert len(listening) == sum(len(services) for services in PROCESSES.values())
    assert {connection.laddr.ip for connection in listening} <= {"127.0.0.1", "::ffff:127.0.0.1"}


def test_connections_that_arrive_together_are_all_answered(dirac_clients):
    def ask(number):
        asked = dirac_clients.monitoring() if number % 2 else dirac_clients.manager()
        answer = asked.getJobsStates([1]) if number % 2 else asked.killJob([])
        return answer["OK"]

    with ThreadPoolExecutor(20) as pool:
        assert all(pool.map(ask, range(100)))


def test_a_pilot_writes_its_configuration_in_one_step(dirac, tmp_path):
    """Who has opened the file reads the whole of what it was; unpatched, the same file is emptied and filled."""
    program = """
import os
from types import SimpleNamespace as Namespace
from DIRAC.ConfigurationSystem.private.ConfigurationData import ConfigurationData
from DIRAC.WorkloadManagementSystem.Agent.JobAgent import JobAgent
from gridcwl.testbed.dirac.inside import patches
def by_agent():
    JobAgent._updateConfiguration(Namespace(extraOptions="pilot.cfg"), "CPUTimeLeft", 2)
def by_computing_element():
    data = ConfigurationData(loadDefaultCFG=False)
    assert data.loadFile("pilot.cfg")["OK"]
    data.setOptionInCFG("/LocalSite/CPUTimeLeft", 2)
    assert data.dumpLocalCFGToFile("pilot.cfg")["OK"]
def seen_during(write):
    with open("pilot.cfg", "w") as writer:
        writer.write("LocalSite\\n{\\n  CPUTimeLeft = 1\\n}\\n")
    with open("pilot.cfg") as reader:
        write()
        assert "CPUTimeLeft = 2" in open("pilot.cfg").read()
        return "old" if "CPUTimeLeft = 1" in reader.read() else "new"
stock = [seen_during(by_agent), seen_during(by_computing_element)]
for patch in patches.PATCHES:
    if patch.name.endswith("in one step"):
        patch.apply()
os.chmod("pilot.cfg", 0o600)
patched = [seen_during(by_agent), seen_during(by_computing_element)]
print(*stock, *patched, oct(os.stat("pilot.cfg").st_mode & 0o777), *sorted(os.listdir()))
"""
    dirac.install(print)
    environment = dirac.surroundings.of_server()
    command = [str(dirac.surroundings.python), "-c", program]
    result = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True, check=False)
    assert result.stdout.splitlines()[-1:] == ["new new old old 0o600 pilot.cfg"], result.stderr


def test_unpatched_a_service_reactor_would_lose_connections(dirac):
    """Two sockets are ready at once: upstream accepts both and handles one. The patched one handles both."""
    program = """
from types import SimpleNamespace as Namespace
import sys
from DIRAC.Core.DISET.ServiceReactor import ServiceReactor
if sys.argv[1] == "patched":
    from gridcwl.testbed.dirac.inside import patches
    next(patch for patch in patches.PATCHES if patch.name == "accept every connection").apply()
reactor, handled = ServiceReactor(), []
class Transport:
    oSocket = Namespace(fileno=lambda: 1)
    def getRemoteAddress(self): return ("127.0.0.1", 1)
    def latestServerRenewTime(self): return 1e12
    def acceptConnection(self): return {"OK": True, "Value": Transport()}
class Service:
    wantsThrottle = False
    def __init__(self, name): self.name = name
    def getConfig(self): return Namespace(getContextLifeTime=lambda: 1)
    def handleConnection(self, transport):
        handled.append(self.name)
        reactor._ServiceReactor__alive = len(handled) < 2 and sys.argv[1] == "patched"
reactor._ServiceReactor__services = {name: Service(name) for name in "ab"}
reactor._ServiceReactor__listeningConnections = {name: {"transport": Transport()} for name in "ab"}
ready = [(Namespace(data=name), 1) for name in "ab"]
reactor._ServiceReactor__getListeningSelector = lambda name=False: Namespace(select=lambda timeout: ready)
reactor._ServiceReactor__acceptIncomingConnection()
print("handled", "".join(handled))
"""
    dirac.install(print)
    environment = dirac.surroundings.of_server()
    for how, handled in (("stock", "handled b"), ("patched", "handled ab")):
        command = [str(dirac.surroundings.python), "-c", program, how]
        result = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
        assert result.stdout.splitlines()[-1:] == [handled], result.stderr


# ---- servers that come and go


def test_up_again_leaves_alone_what_runs(dirac, testbed):
    before = {name: testbed.processes.pid(name) for name in testbed.processes.names()}
    dirac.up(print)
    assert {name: testbed.processes.pid(name) for name in testbed.processes.names()} == before


@pytest.mark.timeout(300)
@pytest.mark.parametrize("process", ["dirac-jobs", "dirac-mind", "dirac-database", "dirac-sandboxes"])
def test_a_process_that_died_is_brought_back(dirac_clients, faults, testbed, here, process):
    faults.kill(process)
    assert {s.name for s in testbed.service("dirac").status() if s.state == "down"} == {process}
    faults.undo()
    state, output = run_job(dirac_clients, here, "echo fixed")
    assert (state["Status"], output) == ("Done", "fixed\n")


def test_a_service_that_is_down_is_an_error_at_once(dirac, dirac_clients, faults):
    faults.kill("dirac-jobs")
    answer = dirac_clients.monitoring(timeout=5).getJobsStates([1])
    assert not answer["OK"]
    dirac.start("dirac-jobs")
    assert dirac_clients.monitoring().getJobsStates([1])["OK"]


def test_jobs_wait_while_the_optimizers_are_paused(dirac_clients, faults):
    faults.pause("dirac-optimizers")
    job = dirac_clients.wms().submitJob('Executable = "/bin/true";')["Value"]
    status = lambda: dirac_clients.monitoring().getJobsStates([job])["Value"][job]["Status"]  # noqa: E731
    assert status() == "Received"
    faults.resume("dirac-optimizers")
    assert until(status, lambda now: now in {"Done", "Failed"}) == "Done"


def test_an_expired_proxy_is_refused_until_it_is_renewed(dirac, dirac_clients, faults):
    faults.expire_grid_proxy()
    refused = dirac_clients.monitoring().getJobsStates([1])
    assert not refused["OK"]
    assert dirac_clients.proxy_info()["Value"]["secondsLeft"] <= 0
    dirac.proxies.renew()
    assert dirac_clients.monitoring().getJobsStates([1])["OK"]


def test_a_proxy_expires_while_it_is_used(dirac_clients, faults):
    for seconds in (3, 12, 48):  # on a busy machine three seconds may be over before the first call
        faults.expire_grid_proxy(timedelta(seconds=seconds))
        if dirac_clients.monitoring().getJobsStates([1])["OK"]:
            break
    else:
        pytest.fail("a valid proxy was not accepted")
    until(lambda: dirac_clients.monitoring().getJobsStates([1])["OK"], lambda ok: not ok, within_s=60)


def test_secrets_are_for_the_owner_only(dirac, testbed):
    password = dirac.database.password()
    holding = {}
    for path in files_below(testbed.place.root):
        with contextlib.suppress(FileNotFoundError):  # a job's, which has ended meanwhile
            about = path.lstat()
            if stat.S_ISREG(about.st_mode) and about.st_size < 1_000_000 and password.encode() in path.read_bytes():
                holding[path] = about.st_mode
    assert holding
    assert [path for path, mode in holding.items() if mode & 0o077] == []
    listed = subprocess.run(["ps", "axww", "-o", "args"], capture_output=True, text=True, check=True).stdout
    assert password not in listed


@pytest.mark.usefixtures("dirac")
def test_what_is_missing_can_be_put_in_place_from_another_shell(testbed, capsys):
    assert main(["testbed", "seed", "--dir", str(testbed.place.root)]) == 0
    capsys.readouterr()
