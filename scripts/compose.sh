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

MIRROR="${MIRROR:-http://deb.debian.org/debian}"
KEYS=/usr/share/keyrings/debian-archive-keyring.gpg

one() {
    command -v docker-compose >/dev/null 2>&1 && return 0
    (apt_install "Compose" docker-compose)
}

# With lists of its own: the system's sources stay as they are, and nothing of another release is ever installed.
two() { # DIR
    local place program
    place="$(realpath -m "$1")"
    program="$place/root/usr/libexec/docker/cli-plugins/docker-compose"
    mkdir -p "$place/lists/partial" "$place/cache/archives/partial"
    echo "deb [signed-by=$KEYS] $MIRROR trixie main" >"$place/sources.list"
    local apt=(apt-get -q -o Dir::Etc::sourcelist="$place/sources.list" -o Dir::Etc::sourceparts=- -o Dir::State::lists="$place/lists"
        -o Dir::Cache="$place/cache" -o APT::Sandbox::User=root -o Acquire::Retries=3)
    timeout 300 "${apt[@]}" update >"$place/log" 2>&1 &&
        (cd "$place" && timeout 300 "${apt[@]}" download docker-compose) >>"$place/log" 2>&1 &&
        dpkg-deb -x "$place"/docker-compose_2*.deb "$place/root" && [ -x "$program" ] || {
        tail -n 3 "$place/log" >&2
        return 1
    }
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
