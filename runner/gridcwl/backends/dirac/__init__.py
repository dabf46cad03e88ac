"""Every job a DIRAC job, on whatever site fits.

names       what jobs are called at DIRAC, and back
matching    what a job needs -> what DIRAC matches on; which sites can run it
sites       what each site offers, from DIRAC's configuration
jdl         job descriptions in DIRAC's language
sandbox     what travels with a batch of jobs: the worker, their descriptions
results     what comes back: output sandboxes -> results
following   which states mean what, and when to ask again
server      what is asked of DIRAC, whoever answers:
client      ... DIRAC's own client, and nothing else: the thin edge
diracx      ... DiracX by its REST interface
local_*     ... DIRAC's own local mode, on this machine
singles     a description for many jobs taken apart, for the last two
out_there   the DIRAC jobs that are out there, and what each holds
submitting  jobs on their way there
watching    jobs followed to their end, and their results fetched
backend     all of it together, as a ``gridcwl.backends.Backend``
"""
