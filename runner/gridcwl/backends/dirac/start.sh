#!/bin/sh
# Runs one part of a batch of gridcwl's jobs on a worker node: gridcwl-start.sh PART
# All it needs is a Python of 3.9 or newer; everything else is in the sandbox.
here=$(pwd)
# The worker knows no batch system: these are its names for what DIRAC sets.
GRIDCWL_SITE=${DIRACSITE:-}
# Job.setNumberOfProcessors says that this is what the job was given; DIRAC_PROCESSORS is 1 whatever it was (9.1).
GRIDCWL_PROCESSORS=${DIRAC_JOB_PROCESSORS:-}
export GRIDCWL_SITE GRIDCWL_PROCESSORS
echo "gridcwl: part $1 at ${DIRACSITE:-an unknown site}, $(uname -n), DIRAC job ${JOBID:-unknown}"
for python in python3 /usr/bin/python3 python3.14 python3.13 python3.12 python3.11 python3.10 python3.9 \
    /usr/libexec/platform-python python; do
  # -S: nothing but the standard library is wanted, and what a node has besides may take long to load
  if "$python" -SE -c 'import sys; sys.exit(sys.version_info < (3, 9))' 2> /dev/null; then
    PYTHONPATH="$here/gridcwl-worker.pyz"
    export PYTHONPATH
    exec "$python" -S -m gridcwl.worker.batch "$1"
  fi
done
echo "gridcwl: there is no Python 3.9 or newer on $(uname -n), PATH is $PATH" >&2
exit 96
