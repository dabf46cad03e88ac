"""What runs a Job on a machine: stage in, container, collect, stage out.

Nothing here imports anything but Python's standard library (3.9 and newer): it is shipped to worker nodes as one
zipapp, and the local backend runs the very same code. A job comes as the JSON form of ``gridcwl.model.Job``, a result
goes as that of ``gridcwl.model.JobResult``; the worker never sees CWL.

    run_job(job, workdir, engine, control, options=Options())    a job's JSON form in, its result's out
    Control                                                      stops a job from another thread
    BareEngine                                                   the engine for no container
"""

from gridcwl.worker.bare_engine import BareEngine
from gridcwl.worker.control import Control
from gridcwl.worker.given import Options
from gridcwl.worker.job import run_job

__all__ = ["BareEngine", "Control", "Options", "run_job"]
