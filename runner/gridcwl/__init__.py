"""gridcwl: run CWL workflows with every step a job, on the DIRAC grid or in a container here.

All that a program needs is in this package: see ``__all__``. It is loaded when it is used, so that importing gridcwl
costs nothing.
"""

import importlib

__version__ = "0.2.0"

_PLACES = {
    "gridcwl.api": ("Client",),
    "gridcwl.client_runs": ("Run",),
    "gridcwl.blocking": ("BlockingRun", "FollowedRun", "last", "open_run", "resume", "run", "submit"),
    "gridcwl.values": ("Directory", "File", "Outputs"),
    "gridcwl.datasets.basket": ("Basket", "basket"),
    "gridcwl.runs.events": (
        *("Event", "Failure", "JobEnded", "JobMoved", "JobStarted", "RunEnded", "RunStarted", "StepsChanged"),
    ),
    "gridcwl.runs.record.folder": ("new_run_id",),
    "gridcwl.runs.record.explain": ("Answer",),
    "gridcwl.runs.record.job_records": ("AttemptRecord", "JobRecord"),
    "gridcwl.runs.record.logs": ("JobLog",),
    "gridcwl.runs.report": ("Report",),
    "gridcwl.runs.provenance.crate_options": ("CrateOptions",),
    "gridcwl.runs.provenance.lineage": ("Activity", "DataFile", "Lineage"),
    "gridcwl.runs.settings": ("ResumeSettings", "Settings"),
    "gridcwl.model.confinement": ("Confinement",),
    "gridcwl.runs.record.counts": ("StepCounts",),
    "gridcwl.runs.record.status": ("RunStatus",),
    "gridcwl.errors": (
        *("BackendError", "ConfigError", "DocumentError", "ExpressionError", "GridCWLError", "InputError", "JobFailed"),
        *("LimitExceeded", "OutputConflict", "OutputError", "ResourcesExceeded", "ResultError", "RunCancelled"),
        *("RunDetached", "RunFailed", "StoreError", "UnsafePath", "UnsupportedError"),
    ),
}
_MODULES = {name: module for module, names in _PLACES.items() for name in names}

__all__ = ["__version__", *_MODULES]  # noqa: PLE0604  they are names


def __getattr__(name: str) -> object:
    """A name of the public API, loaded now."""
    if name not in _MODULES:
        raise AttributeError(f"module 'gridcwl' has no attribute {name!r}")
    value = getattr(importlib.import_module(_MODULES[name]), name)
    globals()[name] = value
    return value


def load_ipython_extension(shell: object) -> None:
    """``%load_ext gridcwl``: magics, and runs and outputs that show themselves."""
    importlib.import_module("gridcwl.jupyter").load(shell)


def unload_ipython_extension(shell: object) -> None:
    """``%unload_ext gridcwl``."""
    importlib.import_module("gridcwl.jupyter").unload(shell)


def __dir__() -> list[str]:
    return sorted(__all__)
