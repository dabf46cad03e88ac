"""DIRAC's own clients in this process, as the testbed's user, under the names that the fake has for them."""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import Any


class DiracClients:
    """Needs DIRAC beside gridcwl (``gridcwl[dirac]``). One for a process: DIRAC's configuration is global."""

    def __init__(self, exports: Mapping[str, str]) -> None:
        """Import DIRAC and read its configuration.

        Args:
            exports: of :class:`~gridcwl.testbed.dirac.service.DiracService`; they go into this process's environment.
        """
        os.environ.update(exports)
        import DIRAC

        DIRAC.initialize()
        from DIRAC.ConfigurationSystem.Client.Helpers.Operations import Operations
        from DIRAC.Core.Security.ProxyInfo import getProxyInfo
        from DIRAC.ResourceStatusSystem.Client.SiteStatus import SiteStatus
        from DIRAC.WorkloadManagementSystem.Client.JobManagerClient import JobManagerClient
        from DIRAC.WorkloadManagementSystem.Client.JobMonitoringClient import JobMonitoringClient
        from DIRAC.WorkloadManagementSystem.Client.SandboxStoreClient import SandboxStoreClient
        from DIRAC.WorkloadManagementSystem.Client.WMSClient import WMSClient

        self.config: Any = DIRAC.gConfig
        self.operations: Any = Operations
        self.proxy_info: Any = getProxyInfo
        self.site_status: Any = SiteStatus
        self.wms: Any = WMSClient
        self.manager: Any = JobManagerClient
        self.monitoring: Any = JobMonitoringClient
        self.sandboxes: Any = SandboxStoreClient
