#!/bin/sh
# Runs a node of a warm pool on a worker node: gridcwl-start.sh NUMBER
# All it needs is a Python of 3.9 or newer, here or in the image; everything else is in the sandbox.
umask 077
here=$(pwd)
chmod 600 node-key.pem node-cert.pem
GRIDCWL_SITE=${DIRACSITE:-${GRIDCWL_SITE:-}}
export GRIDCWL_SITE
code=0
image=$(sed -n 's/.*"image": "\([^"]*\)".*/\1/p' pool-node.json)
if [ -n "$image" ] && [ -z "${GRIDCWL_POOL_INSIDE:-}" ]; then
  GRIDCWL_POOL_INSIDE=1
  export GRIDCWL_POOL_INSIDE
  for engine in apptainer singularity; do
    if command -v "$engine" > /dev/null; then
      case $image in /* | *://*) source=$image ;; *) source=docker://$image ;; esac
      exec "$engine" exec --bind "$here" --pwd "$here" "$source" /bin/sh gridcwl-start.sh "$1"
    fi
  done
  for engine in podman docker; do
    if command -v "$engine" > /dev/null; then
      exec "$engine" run --rm --init --network host --volume "$here:$here" --workdir "$here" \
        --env GRIDCWL_POOL_INSIDE=1 --env GRIDCWL_SITE "$image" /bin/sh gridcwl-start.sh "$1"
    fi
  done
  echo "gridcwl: there is no container engine on $(uname -n) for the image $image" >&2
  exit 97
fi
echo "gridcwl: node $1 at ${GRIDCWL_SITE:-an unknown site}, $(uname -n), DIRAC job ${JOBID:-unknown}"
for python in python3 /usr/bin/python3 python3.14 python3.13 python3.12 python3.11 python3.10 python3.9 \
    /usr/libexec/platform-python python; do
  if "$python" -SE -c 'import sys; sys.exit(sys.version_info < (3, 9))' 2> /dev/null; then
    PYTHONPATH="$here/gridcwl-worker.pyz"
    export PYTHONPATH
    "$python" -S -m gridcwl.worker.pool_node pool-node.json &
    node=$!
    trap 'kill -TERM "$node" 2> /dev/null' TERM INT HUP
    while kill -0 "$node" 2> /dev/null; do
      wait "$node"
      code=$?
    done
    # if it was killed, its tools may still run: their jobs are started again elsewhere
    "$python" -S -c 'import sys; from gridcwl.worker.stale import kill_below; kill_below(sys.argv[1:], 30)' "$here/jobs"
    exit "$code"
  fi
done
echo "gridcwl: there is no Python 3.9 or newer on $(uname -n), PATH is $PATH" >&2
exit 96
