"""SoftwareRequirement as a requirement that documents may have: cwltool takes it only with ``--beta-...`` options.

``gridcwl.cwl.software`` looks whether the packages are there.

To be dropped when ``supportedProcessRequirements`` has it.
"""

from __future__ import annotations

from cwltool import process

from gridcwl.cwl.patches.upstream import Upstream

UPSTREAM = (
    Upstream(
        "https://github.com/common-workflow-language/cwltool/blob/3.3.20260925135507/cwltool/process.py#L103",
        "supportedProcessRequirements",
        "b32d33ee057d45a6",
    ),
    Upstream(
        "https://github.com/common-workflow-language/cwltool/blob/3.3.20260925135507/cwltool/process.py#L1088",
        "Process.checkRequirements",
        "528c7476f49648b1",
    ),
)
_NAME = "SoftwareRequirement"


def apply() -> None:
    """Let cwltool load documents that require software."""
    if _NAME not in process.supportedProcessRequirements:
        process.supportedProcessRequirements.append(_NAME)
