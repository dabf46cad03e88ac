#!/bin/sh
# Runs a node, which connects outwards to the user's machine, on a worker node: gridcwl-start.sh NUMBER
# All it needs is a Python of 3.9 or newer, here or in the image; everything else is in the sandbox.
module=@MODULE@
settings=@SETTINGS@
umask 077
here=$(pwd)
chmod 600 node-key.pem node-cert.pem
GRIDCWL_SITE=${DIRACSITE:-${GRIDCWL_SITE:-}}
# The seconds that this job has: as the pilot knows them, the way DIRAC's watchdog reads them; as HEPiX's machine and
# job features have them; as Slurm does.
least() { # VARIABLE SECONDS: set it, if it is not set to less
  case $2 in "" | *[!0-9]*) return ;; esac
  eval "known=\${$1:-}"
  if [ -z "$known" ] || [ "$2" -lt "$known" ]; then eval "$1=$2"; fi
}
for config in $(echo "${DIRACSYSCONFIG:-}" | tr , ' ') "${DIRAC:-/none}/etc/dirac.cfg" ./pilot.cfg ../pilot.cfg ../../pilot.cfg; do
  if [ -r "$config" ]; then
    least GRIDCWL_WALL_LEFT "$(awk -F= '
      { gsub(/[ \t]/, "") }
      $1 == "CPUTimeLeft" { work = $2 }
      $1 == "CPUNormalizationFactor" { power = $2 }
      END { if (work > 0 && power > 0) printf "%d", work / power }' "$config")"
    break
  fi
done
if [ -d "${JOBFEATURES:-}" ]; then
  begun=$(cat "$JOBFEATURES/jobstart_secs" 2> /dev/null)
  wall=$(cat "$JOBFEATURES/wall_limit_secs" 2> /dev/null)
  case $begun$wall in "" | *[!0-9]*) ;; *) least GRIDCWL_WALL_LEFT $((${begun:-$(date +%s)} + ${wall:-999999999} - $(date +%s))) ;; esac
  least GRIDCWL_CPU_LEFT "$(cat "$JOBFEATURES/cpu_limit_secs" 2> /dev/null)"
fi
case ${SLURM_JOB_END_TIME:-} in "" | *[!0-9]*) ;; *) least GRIDCWL_WALL_LEFT $((SLURM_JOB_END_TIME - $(date +%s))) ;; esac
export GRIDCWL_SITE GRIDCWL_WALL_LEFT GRIDCWL_CPU_LEFT
code=0
image=$(sed -n 's/.*"image": "\([^"]*\)".*/\1/p' "$settings")
if [ -n "$image" ] && [ -z "${GRIDCWL_POOL_INSIDE:-}" ]; then
  GRIDCWL_POOL_INSIDE=1
  export GRIDCWL_POOL_INSIDE
  number=$1
  set --
  for path in "${X509_USER_PROXY:-}" "${X509_CERT_DIR:-}" "${BEARER_TOKEN_FILE:-}"; do
    if [ -e "$path" ]; then set -- "$@" --volume "$path:$path:ro"; fi
  done
  for engine in apptainer singularity; do
    if command -v "$engine" > /dev/null; then
      case $image in /* | *://*) source=$image ;; *) source=docker://$image ;; esac
      APPTAINER_BIND=$(printf '%s\n' "$@" | grep : | paste -s -d , -)
      SINGULARITY_BIND=$APPTAINER_BIND
      export APPTAINER_BIND SINGULARITY_BIND
      exec "$engine" exec --bind "$here" --pwd "$here" "$source" /bin/sh gridcwl-start.sh "$number"
    fi
  done
  for name in POOL_INSIDE SITE WALL_LEFT CPU_LEFT; do set -- "$@" --env "GRIDCWL_$name"; done
  for name in X509_USER_PROXY X509_CERT_DIR BEARER_TOKEN BEARER_TOKEN_FILE; do set -- "$@" --env "$name"; done
  for fetch in false "pull --quiet"; do # an engine that has the image is preferred to one that fetches it
    for engine in podman docker; do
      command -v "$engine" > /dev/null || continue
      # shellcheck disable=SC2086
      "$engine" image inspect "$image" > /dev/null 2>&1 || "$engine" $fetch "$image" > /dev/null 2>&1 || continue
      if [ "$engine" = docker ]; then set -- "$@" "--user=$(id -u):$(id -g)"; fi # what it leaves is ours
      # shellcheck disable=SC2093
      exec "$engine" run --rm --init --network host --volume "$here:$here" --workdir "$here" "$@" \
        "$image" /bin/sh gridcwl-start.sh "$number"
    done
  done
  echo "gridcwl: no container engine on $(uname -n) has the image $image" >&2
  exit 97
fi
echo "gridcwl: node $1 at ${GRIDCWL_SITE:-an unknown site}, $(uname -n), DIRAC job ${JOBID:-unknown}"
for python in python3 /usr/bin/python3 python3.14 python3.13 python3.12 python3.11 python3.10 python3.9 \
    /usr/libexec/platform-python python; do
  if "$python" -SE -c 'import sys; sys.exit(sys.version_info < (3, 9))' 2> /dev/null; then
    PYTHONPATH="$here/gridcwl-worker.pyz"
    export PYTHONPATH
    "$python" -S -m "$module" "$settings" &
    node=$!
    trap 'kill -TERM "$node" 2> /dev/null' TERM INT HUP
    # how a batch system says that the time runs out: a node of a pool announces it, others end when it is over
    case $module in *.pool_node) notice=USR1 ;; *) notice=0 ;; esac
    trap 'kill "-$notice" "$node" 2> /dev/null' USR1 USR2 XCPU
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
