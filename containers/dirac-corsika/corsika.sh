#!/bin/sh
# CORSIKA where its tables are not: corsika < CARD > LOG
# The program looks for its tables where it runs; a job runs elsewhere, so the card is given DATDIR.
set -eu
home=/opt/corsika
case ${1-} in
    --version)
        basename "$(readlink -f "$home/program")"
        exit 0
        ;;
    --help)
        echo "usage: corsika < CARD > LOG    (writes its files to the current folder)"
        exit 0
        ;;
    ?*)
        echo "corsika: takes no arguments: corsika < CARD > LOG" >&2
        exit 2
        ;;
esac
awk -v line="DATDIR $home/run" '
    toupper($1) == "DATDIR" { given = 1 }
    toupper($1) == "EXIT" && !given { print line }
    { print }
' | exec "$home/program"
