#!/usr/bin/env bash
# What `make test`, `make test-full` and continuous integration run: fetches what the checks need, then runs them in a room with an
# engine of their own (scripts/room.sh).
#   test.sh test          what decides about a change (scripts/check.py)
#   test.sh full          everything else
#   test.sh only WORDS... lint and types, then pytest with WORDS
# Exit 0: all passed. Exit 1: a check failed. Exit 3: what the checks need could not be had, which says nothing about the change.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
# shellcheck source=scripts/lib.sh
. scripts/lib.sh

NOT_SET_UP=3

set_up() { # bash ignores `set -e` in what stands before ||
    scripts/setup.sh || return 1
    [ "$(id -u)" = 0 ] || return 0 # room.sh says what only root can do
    command -v dockerd >/dev/null 2>&1 || apt_install "the Docker Engine" docker.io
    # Debian 12 has the command in the same package, Debian 13 in one of its own.
    command -v docker >/dev/null 2>&1 || apt_install "the command docker" docker-cli
    command -v ip >/dev/null 2>&1 || apt_install "the command ip" iproute2
    command -v crun >/dev/null 2>&1 || apt_install "crun, which runs containers without Docker" crun
    scripts/postgresql.sh || return 1
    [ "$1" != full ] || command -v tini-static >/dev/null 2>&1 || apt_install "a first process of containers" tini
    [ "$1" != full ] || command -v runsc >/dev/null 2>&1 || apt_install "gVisor" runsc
}

case "${1:-}" in
    test | full | only) ;;
    *) sed -n '2,7s/^# \{0,1\}//p' "${BASH_SOURCE[0]}" >&2; exit 2 ;;
esac
(set_up "$1") || {
    say "== NOT SET UP: nothing was checked, and nothing is said about the change"
    exit "$NOT_SET_UP"
}
echo "set up: $(.venv/bin/python --version), $(dockerd --version 2>/dev/null || echo 'no dockerd'), on $(uname -sr), $(nproc) processors"
room=()
[ "$1" != full ] || room=(--network --gvisor)
exec scripts/room.sh "${room[@]}" .venv/bin/python scripts/check.py "$@"
