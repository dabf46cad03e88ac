#!/bin/sh
# CORSIKA from its tarball: build-corsika check|build FOLDER [TARGET]
#
# FOLDER has one corsika*.tar.gz and the config.h that coconut wrote when it was asked for your options. CORSIKA_SHA256 is the
# tarball's. What is needed to run, the program and its tables, goes to TARGET; nothing else stays.
set -eu

fail() {
    echo "error: $*" >&2
    exit 1
}

folder=$2
tarball=
for found in "$folder"/corsika*.tar.gz; do
    [ ! -e "$found" ] || { [ -z "$tarball" ] || fail "two tarballs: $tarball and $found"; tarball=$found; }
done
[ -n "$tarball" ] || fail "no CORSIKA tarball: it is licensed, get your own from KIT and run scripts/corsika-image"
[ -f "$folder/config.h" ] || fail "no config.h beside $tarball: run coconut once and take its include/config.h"
[ -n "${CORSIKA_SHA256:-}" ] || fail "no CORSIKA_SHA256: the tarball is used only if it is the one that you mean"
is=$(sha256sum "$tarball" | cut -d' ' -f1)
[ "$is" = "$CORSIKA_SHA256" ] || fail "${tarball##*/} has SHA-256 $is, not $CORSIKA_SHA256"
[ "$1" = build ] || exit 0

work=$(mktemp -d)
tar -xzf "$tarball" -C "$work" --strip-components=1
cd "$work"
cp "$folder/config.h" include/config.h
# without a question: what config.h says is built
CORSIKA_USER_COMP=1 ./coconut --expert </dev/null
mkdir -p "$3"
cp -R run "$3/run"
set -- "$3"/run/corsika[0-9]*Linux*
[ -x "$1" ] || fail "coconut left no run/corsika*Linux*: its words are above"
ln -s "run/${1##*/}" "${1%/run/*}/program"
rm -rf "$work"
