"""What runs a Job on a machine: stage in, container, collect, stage out.

Nothing here imports anything but Python's standard library (3.9 and newer): it is shipped to worker nodes as one
zipapp, and the local backend runs the very same code. A job comes as the JSON form of ``gridcwl.model.Job``, a result
goes as that of ``gridcwl.model.JobResult``; the worker never sees CWL.

    job.run_job(job, workdir, engine, control, options)    a job's JSON form in, its result's out
    control.Control                                        stops a job from another thread
    options.WorkerOptions                                  options of the machine
    bare_engine.BareEngine                                 the engine for no container

The package itself imports none of these: a client that only needs the rules for paths starts sooner.
"""
