"""Fills the databases: tables that no SQL file makes, sites and storage elements, pilots, and the user's proxy.

    python -m gridcwl.testbed.dirac.inside.seed SEED.json

Can be run again: what is there stays. The JSON file is a :class:`Seed`.
"""

from __future__ import annotations

import datetime
import json
import socket
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

TABLES_MADE = "all tables are made"
"""Printed when services that would make tables of their own may start."""


@dataclass(frozen=True)
class Seed:
    """What has to be there.

    Attributes:
        sites: name of every site, and whether it is banned.
        storage: names of storage elements.
        pilots: references of pilots that may ask for jobs.
        certificate: the user's, which a proxy for jobs is made from; with its key.
        port: of the service that keeps proxies; it need not listen yet.
        patience_s: how long to wait for it.
    """

    vo: str
    sites: dict[str, bool]
    storage: list[str]
    pilots: list[str]
    certificate: str
    key: str
    port: int
    patience_s: float


def main() -> None:
    """Do it."""
    seed = Seed(**json.loads(Path(sys.argv[1]).read_text()))
    from DIRAC.Core.Base.Script import Script

    sys.argv = ["seed", "-o", "/DIRAC/Security/UseServerCertificate=no"]
    Script.parseCommandLine()
    _make_tables()
    _tell_resource_status(seed)
    _announce_pilots(seed)
    print(TABLES_MADE, flush=True)
    _upload_proxy(seed)


def _make_tables() -> None:
    """Those that DIRAC's classes make when they are first used: two processes that try at once end in an error."""
    from DIRAC.AccountingSystem.DB.AccountingDB import AccountingDB
    from DIRAC.FrameworkSystem.DB.ProxyDB import ProxyDB
    from DIRAC.RequestManagementSystem.DB.RequestDB import RequestDB
    from DIRAC.WorkloadManagementSystem.DB.SandboxMetadataDB import SandboxMetadataDB

    for make in (AccountingDB, ProxyDB, SandboxMetadataDB):
        make()
    _value(RequestDB().createTables())


def _tell_resource_status(seed: Seed) -> None:
    from DIRAC.ResourceStatusSystem.DB.ResourceStatusDB import ResourceStatusDB

    database = ResourceStatusDB()
    for name, banned in seed.sites.items():
        _set_status(database, "SiteStatus", "Site", name, "all", "Banned" if banned else "Active")
    for name in seed.storage:
        for access in ("ReadAccess", "WriteAccess", "CheckAccess", "RemoveAccess"):
            _set_status(database, "ResourceStatus", "StorageElement", name, access, "Active")


def _set_status(database: Any, table: str, element: str, name: str, kind: str, status: str) -> None:
    now = datetime.datetime.now(datetime.UTC).replace(tzinfo=None)
    row = {
        "Name": name,
        "StatusType": kind,
        "VO": "all",
        "Status": status,
        "Reason": "testbed",
        "ElementType": element,
        "DateEffective": now,
    }
    _value(database.addOrModify(table, row))


def _announce_pilots(seed: Seed) -> None:
    from DIRAC.WorkloadManagementSystem.DB.PilotAgentsDB import PilotAgentsDB

    database = PilotAgentsDB()
    known = database.getPilotInfo(seed.pilots)
    missing = [reference for reference in seed.pilots if not known["OK"] or reference not in known["Value"]]
    stamps = {reference: reference.partition("//")[2] for reference in missing}
    if missing:
        _value(database.addPilotReferences(missing, seed.vo, gridType="DIRAC", pilotStampDict=stamps))


def _upload_proxy(seed: Seed) -> None:
    """As dirac-proxy-init --upload does: the service keeps a long proxy, and gives short ones of it to pilots."""
    from DIRAC.Core.Security.X509Chain import X509Chain
    from DIRAC.FrameworkSystem.Client.ProxyManagerClient import gProxyManager

    chain = X509Chain()
    _value(chain.loadChainFromFile(seed.certificate))
    _value(chain.loadKeyFromFile(seed.key))
    end = time.monotonic() + seed.patience_s
    # DIRAC's client, refused, would rest for seconds between its tries
    while not _listens(seed.port) and time.monotonic() < end:
        time.sleep(0.1)
    _value(gProxyManager.uploadProxy(chain))


def _listens(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


def _value(result: Any) -> Any:
    if not result["OK"]:
        raise SystemExit(f"the seed failed: {result['Message']}")
    return result.get("Value")


if __name__ == "__main__":
    main()
