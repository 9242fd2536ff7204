#!/usr/bin/env bash
# Compose for the tests of packaging/compose: installs Debian's package where there is none (needs root).
#   compose.sh            the program docker-compose: 1.29 on Debian 12, 2 on Debian 13
#   compose.sh two DIR    Debian 13's (Compose 2), unpacked into DIR and not installed; prints the program's path
#
# Exit 1, with a warning, where it is not to be had: the tests that need it say so.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
# shellcheck source=scripts/lib.sh
. scripts/lib.sh

one() {
    command -v docker-compose >/dev/null 2>&1 && return 0
    (apt_install "Compose" docker-compose)
}

two() { # DIR
    local program
    program="$(realpath -m "$1")/root/usr/libexec/docker/cli-plugins/docker-compose"
    unpack_newer "$1" docker-compose && [ -x "$program" ] || return 1
    echo "$program"
}

case "${1:-}" in
    "") one ;;
    two) [ $# = 2 ] || die "compose.sh two takes a folder." "Call it as: scripts/compose.sh two DIR"; two "$2" ;;
    *) die "compose.sh knows no $1." "Call it as: scripts/compose.sh, or scripts/compose.sh two DIR" ;;
esac || {
    say "warning: the tests run without Compose ${1:-}; what needs it is left out"
    exit 1
}
