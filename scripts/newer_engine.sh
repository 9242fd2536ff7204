#!/usr/bin/env bash
# Debian 13's Docker Engine (26), which gives devices by name as Debian 12's (20.10) does not: unpacked and not installed.
#   newer_engine.sh DIR    prints the folder of the program dockerd; containerd lies beside it, runc and docker-init are the system's
#
# Exit 1, with a warning, where it is not to be had: the tests that need it say so.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
# shellcheck source=scripts/lib.sh
. scripts/lib.sh

[ $# = 1 ] || die "newer_engine.sh takes a folder." "Call it as: scripts/newer_engine.sh DIR"
PROGRAMS="$(realpath -m "$1")/root/usr/sbin"
unpack_newer "$1" docker.io containerd && [ -x "$PROGRAMS/dockerd" ] && cp -n "$PROGRAMS"/../bin/containerd* "$PROGRAMS" || {
    say "warning: the tests run without a newer Docker Engine; what needs it is left out"
    exit 1
}
echo "$PROGRAMS"
