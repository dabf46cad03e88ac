"""What any batch system needs: a backend for one supplies its own client and the meaning of its states.

errors       what goes wrong between gridcwl and a batch system
retrying     blocking calls in a few threads, repeated while an error may pass
states       the phases of a batch job's life, and what is known of one job
poller       queries the states of all active jobs in bulk, at an adaptive interval
active_jobs  the batch jobs of a session, and the gridcwl jobs that each holds
names        names of batch jobs that say which gridcwl jobs they hold
packing      several short jobs in one batch job
"""
