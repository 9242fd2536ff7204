#!/usr/bin/env bash
# A room of its own for a run of the tests (needs root): processes, mounts, /run, shared memory and, unless --network is given,
# a network in which there is nothing but loopback. It has an engine of its own; nobody else's is used, stopped or looked at.
#   room.sh [--network] [--gvisor] CMD...
#
# However the run ends, also by SIGKILL of its first process: the kernel ends every process of the room with the room's first one,
# and what was mounted, connected or shared goes with the last of them. What it wrote lies in .run/room and goes with the next run.
# Runs in two clones never meet; two in one clone are refused. Exit 3: the room or its engine could not be had.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
# shellcheck source=scripts/lib.sh
. scripts/lib.sh

ROOM="$PWD/.run/room"
NO_ROOM=3
SWEEP_TRIES=40 # quarters of a second; a room that was killed a moment ago is still ending

no_room() { # WHAT-AND-WHY [WHAT-TO-DO]
    (die "$@") || true
    exit "$NO_ROOM"
}

# Containers of a killed room are gone, their control groups (empty by then) are not.
sweep() {
    local kept id i
    for kept in "$ROOM"/engine/data/containers/*; do
        id="${kept##*/}"
        [[ "$id" =~ ^[0-9a-f]{64}$ ]] || continue
        find /sys/fs/cgroup -depth -type d -path "*/$id*" -exec rmdir {} + 2>/dev/null || true
    done
    for ((i = 0; i < SWEEP_TRIES; i++)); do
        rm -rf --one-file-system "$ROOM" 2>/dev/null && return 0
        sleep 0.25
    done
    no_room "what an earlier run left in $ROOM cannot be removed." "Look what holds it (findmnt, fuser) and remove it."
}

open_room() {
    [ "$(id -u)" = 0 ] || no_room "only root can give the tests a room and an engine of their own." \
        "Run it as root, or run a part without containers: make lint, make types, make unit"
    mkdir -p .run
    exec 8>.run/room.lock
    flock --wait "${LC_ROOM_WAIT_S:-15}" 8 || no_room "another run of the tests is under way in this folder." "Wait for its end, or use another clone."
    sweep
    mkdir -p "$ROOM/tmp/home" "$ROOM/engine"
    chmod 1777 "$ROOM/tmp"
    local own=(--fork --pid --mount --mount-proc --ipc --kill-child)
    [ "$NETWORK" = 1 ] || own+=(--net)
    unshare "${own[@]}" true 2>/dev/null || no_room "this machine makes no namespaces (unshare ${own[*]})." \
        "Run it on a machine or in a container that may, or run a part without containers: make unit"
    # Its parent's end is its own: `make` does not hand a SIGKILL on.
    exec setpriv --pdeathsig KILL unshare "${own[@]}" scripts/room.sh --inside "$NETWORK" "$GVISOR" "$@"
}

# The first process of the room: it waits for every other one that loses its parent.
inside() {
    local names
    NETWORK="$1" GVISOR="$2"
    shift 2
    names="$(cat /etc/resolv.conf 2>/dev/null || true)"
    mount -t tmpfs -o mode=755 tmpfs /run
    mount -t tmpfs -o mode=1777 tmpfs /dev/shm
    mkdir -p /run/lock /run/tmp
    mount --bind "$ROOM/tmp" /run/tmp
    if [ -L /etc/resolv.conf ] && [ ! -e /etc/resolv.conf ]; then # it lay in /run
        mkdir -p "$(dirname "$(readlink -m /etc/resolv.conf)")"
        echo "$names" >"$(readlink -m /etc/resolv.conf)"
    fi
    [ "$NETWORK" = 1 ] || ip link set lo up
    unset DOCKER_HOST DOCKER_CONTEXT DOCKER_CONFIG XDG_CACHE_HOME XDG_CONFIG_HOME XDG_DATA_HOME XDG_RUNTIME_DIR
    umask 022
    export TMPDIR=/run/tmp HOME=/run/tmp/home ENGINE_FOLDER="$ROOM/engine" ENGINE_GVISOR="$GVISOR"
    local code=0
    trap : TERM INT HUP # the command has them too, and says how it ended
    scripts/engine.sh start || exit "$NO_ROOM"
    "$@" 8>&- || code=$?
    scripts/engine.sh stop || true
    [ "$code" != 0 ] || rm -rf --one-file-system "$ROOM"/* 2>/dev/null || true # what failed is kept until the next run
    exit "$code"
}

NETWORK=0 GVISOR=0
if [ "${1:-}" = --inside ]; then
    shift
    inside "$@"
fi
while [[ "${1:-}" == --* ]]; do
    case "$1" in
        --network) NETWORK=1 ;;
        --gvisor) GVISOR=1 ;;
        *) sed -n '2,4s/^# \{0,1\}//p' "${BASH_SOURCE[0]}" >&2; exit 2 ;;
    esac
    shift
done
[ $# -gt 0 ] || die "room.sh needs a command."
open_room "$@"
