"""What is changed in the stock DIRAC of a testbed, while it runs: nothing of its installation is touched.

Every patch says why, and quotes what it is about as it stands in DIRAC 9.1.22. A test looks the quotation up in the
installed package, so that it fails once DIRAC says something else there, and another that the patch does what it says.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, get_args

Role = Literal["service", "executor", "agent", "job wrapper"]
ROLES: tuple[Role, ...] = get_args(Role)


@dataclass(frozen=True)
class Patch:
    """One change.

    Attributes:
        roles: in which processes it is made.
        file: the file of DIRAC's package that it is about.
        line: where that stood in 9.1.22.
        quotation: what stands there: one or more whole lines, without the indent of the first.
        apply: makes the change; DIRAC is imported no sooner.
    """

    name: str
    reason: str
    roles: tuple[Role, ...]
    file: str
    line: int
    quotation: str
    apply: Callable[[], None]


def apply(role: Role) -> None:
    """Make the changes for a process of this role; before it does anything else with DIRAC."""
    for patch in PATCHES:
        if role in patch.roles:
            patch.apply()


def _accept_every_connection() -> None:
    from DIRAC.Core.DISET.ServiceReactor import ServiceReactor

    def accept(self: Any, service: str | bool = False) -> None:
        mangled = "_ServiceReactor__"
        selector = getattr(self, mangled + "getListeningSelector")(service)
        listening = getattr(self, mangled + "listeningConnections")
        services = getattr(self, mangled + "services")
        while getattr(self, mangled + "alive"):
            try:
                ready = [key.data for key, _ in selector.select(timeout=10)]
                for name in ready:
                    accepted = listening[name]["transport"].acceptConnection()
                    if accepted["OK"]:
                        services[name].handleConnection(accepted["Value"])
            except OSError:
                return  # as upstream: the caller comes back with a new selector

    ServiceReactor._ServiceReactor__acceptIncomingConnection = accept


def _listen_on_loopback() -> None:
    import socket

    from DIRAC.Core.DISET.private.Transports.M2SSLTransport import SSLTransport

    listen = SSLTransport.initAsServer

    def on_loopback(self: Any) -> Any:
        # DIRAC makes its listening socket one for IPv6 where it can: there, this is the name of 127.0.0.1
        loopback = "::ffff:127.0.0.1" if socket.has_ipv6 else "127.0.0.1"
        self.stServerAddress = (loopback, *self.stServerAddress[1:])
        return listen(self)

    SSLTransport.initAsServer = on_loopback


def _send_one_message_at_a_time() -> None:
    import threading

    from DIRAC.Core.DISET.private.Transports.BaseTransport import BaseTransport

    send = BaseTransport.sendData

    def alone(self: Any, *arguments: Any, **named: Any) -> Any:
        # setdefault is atomic: all threads get one and the same lock
        with self.__dict__.setdefault("_testbed_sending", threading.Lock()):
            return send(self, *arguments, **named)

    BaseTransport.sendData = alone


def _schedule_again_at_once() -> None:
    from DIRAC.WorkloadManagementSystem.Executor.JobScheduling import JobScheduling

    option = JobScheduling.ex_getOption.__func__

    def without_delay(cls: Any, name: str, default: Any = None) -> Any:
        return [0] if name == "RescheduleDelays" else option(cls, name, default)

    JobScheduling.ex_getOption = classmethod(without_delay)


def _schedule_often() -> None:
    from DIRAC.Core.Utilities.ThreadScheduler import gThreadScheduler

    gThreadScheduler.setMinValidPeriod(1)


def _cycle_often() -> None:
    from DIRAC.Core.Base import AgentReactor
    from DIRAC.Core.Utilities.ThreadScheduler import ThreadScheduler

    class QuickScheduler(ThreadScheduler):  # type: ignore[misc]
        def __init__(self, *arguments: Any, **named: Any) -> None:
            super().__init__(*arguments, **{**named, "minPeriod": 1})

    class Module:
        """What AgentReactor takes for the module ThreadScheduler."""

        ThreadScheduler = QuickScheduler

    AgentReactor.ThreadScheduler = Module


def _look_for_jobs_steadily() -> None:
    from DIRAC.Core.Utilities.DErrno import EWMSNOMATCH
    from DIRAC.WorkloadManagementSystem.Agent.JobAgent import JobAgent

    check = JobAgent._checkMatchingIssues

    def forget(self: Any, request: Any) -> Any:
        checked = check(self, request)
        # the sleep is PollingTime times twice this plus one: a second, and another one until the next cycle
        self.matchFailedCount = -0.5
        if request.get("Errno") != EWMSNOMATCH:
            self.log.error(f"The Matcher gives no job: {request['Message']}")  # lesser words are not logged
        return checked

    JobAgent._checkMatchingIssues = forget


def _write_the_configuration_in_one_step() -> None:
    from DIRAC.WorkloadManagementSystem.Agent import JobAgent

    class Replacing(JobAgent.CFG):  # type: ignore[misc]
        def writeToFile(self, fileName: str) -> bool:  # noqa: N802, N803  DIRAC's names
            written = bool(super().writeToFile(f"{fileName}.new"))
            return written and _replaced(fileName)

    JobAgent.CFG = Replacing


def _write_limits_of_jobs_in_one_step() -> None:
    from DIRAC.ConfigurationSystem.private.ConfigurationData import ConfigurationData

    write = ConfigurationData.dumpLocalCFGToFile

    def replace(self: Any, file: str) -> Any:
        written = write(self, f"{file}.new")
        if written["OK"]:
            _replaced(file)
        return written

    ConfigurationData.dumpLocalCFGToFile = replace


def _replaced(file: str) -> bool:
    new = Path(f"{file}.new")
    new.chmod(Path(file).stat().st_mode)
    new.replace(file)
    return True


def _see_the_payload_at_once() -> None:
    from DIRAC.WorkloadManagementSystem.JobWrapper import JobWrapper

    # 0.05, 0.1, 0.2 ... 25.6 s: as patient as before in the end
    JobWrapper.CHILD_PID_POLL_INTERVALS = [0.05 * 2**attempt for attempt in range(10)]


PATCHES = (
    Patch(
        "accept every connection",
        "Several services in one process: of the connections that arrive together, upstream accepts all and handles "
        "the last; the others see 'Connection reset by peer'.",
        ("service",),
        "Core/DISET/ServiceReactor.py",
        217,
        'clientTransport = retVal["Value"]\n            except OSError:\n                return\n'
        "            self.__maxFD = max(self.__maxFD, clientTransport.oSocket.fileno())",
        _accept_every_connection,
    ),
    Patch(
        "listen on loopback",
        "Services listen on all of the machine's addresses, and have no option for that; the testbed is nobody else's.",
        ("service",),
        "Core/DISET/ServiceReactor.py",
        112,
        'transport = gProtocolDict[protocol]["transport"](("", port), bServerMode=True, **transportArgs)',
        _listen_on_loopback,
    ),
    Patch(
        "send one message at a time",
        "OptimizationMind talks to the optimizers over one connection from many threads. Two that write at once end it "
        "('bad write retry'); jobs then rest until LoadJobPeriod is over.",
        ("service", "executor"),
        "Core/DISET/private/Transports/M2SSLTransport.py",
        506,
        "wrote = self.oSocket.write(buf)",
        _send_one_message_at_a_time,
    ),
    Patch(
        "schedule again at once",
        "A rescheduled job is held for one, three, five, ten minutes. The option is there, but what it is set to stays "
        "text and is compared with a number: the optimizer fails, and again and again with the same job.",
        ("executor",),
        "WorkloadManagementSystem/Executor/JobScheduling.py",
        61,
        'delays = self.ex_getOption("RescheduleDelays", [60, 180, 300, 600])',
        _schedule_again_at_once,
    ),
    Patch(
        "schedule often",
        "Periodic tasks come no more often than once a minute, whatever their options say: LoadJobPeriod, by which "
        "OptimizationMind finds jobs that it was not told of.",
        ("service",),
        "Core/Utilities/ThreadScheduler.py",
        14,
        "def __init__(self, enableReactorThread=True, minPeriod=60):",
        _schedule_often,
    ),
    Patch(
        "cycle often",
        "An agent's cycles are ten seconds apart at least, whatever its PollingTime: that long, a pilot would rest "
        "between two jobs.",
        ("agent",),
        "Core/Base/AgentReactor.py",
        63,
        "self.__scheduler = ThreadScheduler.ThreadScheduler(enableReactorThread=False, minPeriod=10)",
        _cycle_often,
    ),
    Patch(
        "look for jobs steadily",
        "A JobAgent that finds no job waits ever longer. After a minute of idleness, a test would wait half a minute "
        "for its job to be seen.",
        ("agent",),
        "WorkloadManagementSystem/Agent/JobAgent.py",
        211,
        'time.sleep(int(self.am_getOption("PollingTime")) * (self.matchFailedCount + 1) * 2)',
        _look_for_jobs_steadily,
    ),
    Patch(
        "write the configuration in one step",
        "A JobAgent writes its configuration file again for each job. A JobWrapper that starts at that moment reads an "
        "empty one, knows no service, and its job stays Matched for ever.",
        ("agent",),
        "WorkloadManagementSystem/Agent/JobAgent.py",
        462,
        "localCfg.writeToFile(localConfigFile)",
        _write_the_configuration_in_one_step,
    ),
    Patch(
        "write limits of jobs in one step",
        "A PoolComputingElement writes the limits of each job into the same file, in the same way.",
        ("agent",),
        "Resources/Computing/PoolComputingElement.py",
        129,
        'res = cd.dumpLocalCFGToFile("pilot.cfg")',
        _write_limits_of_jobs_in_one_step,
    ),
    Patch(
        "see the payload at once",
        "The JobWrapper looks for its payload's pid after five seconds, and only then whether it has ended: no job "
        "took less than that.",
        ("job wrapper",),
        "WorkloadManagementSystem/JobWrapper/JobWrapper.py",
        58,
        "CHILD_PID_POLL_INTERVALS = list(range(5, 40, 5))",
        _see_the_payload_at_once,
    ),
)

WRAPPER_ANCHOR = "from DIRAC import gLogger\n"
"""The line of the JobWrapper's template after which its patches are made: the configuration has been read by then."""


def wrapper_template(stock: str, library: str) -> str:
    """DIRAC's template of a JobWrapper, which also makes the patches for it.

    Args:
        stock: the template as installed.
        library: the folder that holds the package gridcwl.

    Raises:
        ValueError: the template is not the one that this was written for.
    """
    if stock.count(WRAPPER_ANCHOR) != 1:
        raise ValueError(f"the template has not one line {WRAPPER_ANCHOR!r}")
    lines = (
        f"sys.path.append({library!r})\n"
        "from gridcwl.testbed.dirac.inside import patches\n"
        "patches.apply('job wrapper')\n"
        "sys.path.pop()\n"
    )
    return stock.replace(WRAPPER_ANCHOR, WRAPPER_ANCHOR + lines)
