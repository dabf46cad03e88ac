"""Every job a DIRAC job, on whatever site fits.

matching    what a job needs -> what DIRAC matches on; which sites can run it
sites       what each site offers, from DIRAC's configuration
jdl         job descriptions in DIRAC's language
sandbox     what travels with a batch of jobs: the worker, their descriptions
results     what comes back: output sandboxes -> results
states      the meaning of DIRAC's states
server      calls to DIRAC, whoever answers:
client      ... DIRAC's own client, and nothing else: the thin edge
diracx      ... DiracX by its REST interface
local_*     ... DIRAC's own local mode, on this machine
parametric  splits parametric descriptions, for the last two
submission  submits jobs
monitor     monitors jobs and fetches their results
reconcile   jobs that earlier sessions left
events      what the submitter and the monitor report to the backend
health      what ``gridcwl doctor`` checks
backend     all of it together, as a ``gridcwl.backends.Backend``

Packing, polling, retrying calls and the names of batch jobs are in ``gridcwl.backends.batch``.
"""
