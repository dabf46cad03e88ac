# shellcheck shell=bash
# What every script here shares: say what is done, stop with a reason and a remedy, become root for one command.

say() { printf 'gridcwl: %s\n' "$*" >&2; }

die() {
    say "error: $*"
    exit 1
}

have() { command -v "$1" >/dev/null 2>&1; }

# Runs a command as root, so that each script needs no rights but for the one line that does.
as_root() {
    if [ "$(id -u)" -eq 0 ]; then
        "$@"
    elif have sudo; then
        sudo "$@"
    else
        die "this needs root: run as root: $*"
    fi
}
