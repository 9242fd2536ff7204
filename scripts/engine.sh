#!/usr/bin/env bash
# The Docker Engine that runs the jobs.
#   engine.sh start      does nothing when an engine answers; otherwise installs and starts one (needs root)
#   engine.sh stop       stops the engine if `start` started it, and no other
#   engine.sh status     says whether an engine answers and whose it is; exit 1 when none does
#   engine.sh run CMD... runs CMD with an engine, and stops that engine afterwards if it had to be started for it
#
# An engine started here has no bridge and touches no firewall rule: jobs have no network anyway. It has gVisor as a second
# runtime where that can be installed (scripts/gvisor.sh). Its process id is kept
# in .run/engine.pid together with its start time, so that a recycled process id is never mistaken for it.
#
# ENGINE_FOLDER names a folder for an engine with data and settings of its own, as the tests have one (scripts/room.sh); it then
# has gVisor where ENGINE_GVISOR=1.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
# shellcheck source=scripts/lib.sh
. scripts/lib.sh

FOLDER="${ENGINE_FOLDER:-.run}"
PID_FILE="$FOLDER/engine.pid"
LOG="$FOLDER/engine.log"
SETTINGS="$FOLDER/daemon.json"
SOCKET=/var/run/docker.sock
START_TRIES=60 # half seconds
STOP_TRIES=80
STARTED=0    # 1 once this very call has started an engine

# An installed `docker` command proves nothing; only an answer of the engine counts.
engine_answers() {
    if command -v docker >/dev/null 2>&1; then
        [ -n "$(timeout 15 docker info --format '{{.ServerVersion}}' 2>/dev/null </dev/null)" ]
        return
    fi
    [ -S "$SOCKET" ] && command -v python3 >/dev/null 2>&1 && timeout 15 python3 -c '
import socket, sys
link = socket.socket(socket.AF_UNIX)
link.settimeout(10)
link.connect(sys.argv[1])
link.sendall(b"GET /_ping HTTP/1.0\r\nHost: engine\r\n\r\n")
sys.exit(not link.recv(64).split(b" ")[1:2] == [b"200"])' "$SOCKET" >/dev/null 2>&1
}

start_time() { # PID: when the process started, in clock ticks since boot; nothing if there is no such process
    local stat
    stat="$(cat "/proc/$1/stat" 2>/dev/null)" || return 0
    # The name in parentheses may hold anything; the fields after it are counted.
    set -- ${stat##*)}
    echo "${20}"
}

# Prints the id of the engine process that we started, if it still runs.
own_pid() {
    local pid begun
    [ -f "$PID_FILE" ] || return 1
    read -r pid begun <"$PID_FILE" || return 1
    [[ "$pid" =~ ^[0-9]+$ && -n "$begun" && "$(start_time "$pid")" = "$begun" ]] || return 1
    echo "$pid"
}

# After a crash or a power cut a daemon's pid file may name a process that is something else by now, and the daemon
# would refuse to start, or wait for a containerd that is not there.
forget_stale() { # PID-FILE PROGRAM
    local pid
    [ -f "$1" ] || return 0
    pid="$(tr -cd 0-9 <"$1")"
    [ -n "$pid" ] && [ "$(cat "/proc/$pid/comm" 2>/dev/null)" = "$2" ] || rm -f "$1"
}

# One that sees other mounts than we do has another /var/run: an engine in a container, or in the room of a run of the tests.
is_running() { # PROGRAM
    local process
    for process in /proc/[0-9]*; do
        [ "$(cat "$process/comm" 2>/dev/null)" = "$1" ] || continue
        [ "$(readlink "$process/ns/mnt")" != "$(readlink /proc/self/ns/mnt)" ] || return 0
    done
    return 1
}

wait_for_answer() { # TRIES [PID]: false after the tries, or as soon as the process is gone
    local i
    for ((i = 0; i < $1; i++)); do
        engine_answers && return 0
        [ -z "${2:-}" ] || [ -n "$(start_time "$2")" ] || return 1
        sleep 0.5
    done
    return 1
}

check_possible() {
    [ -z "${DOCKER_HOST:-}" ] || die "no Docker Engine answers at DOCKER_HOST=$DOCKER_HOST." \
        "Start that engine, or unset DOCKER_HOST to use one on this machine."
    if [ "$(id -u)" != 0 ]; then
        [ ! -S "$SOCKET" ] || [ -w "$SOCKET" ] || die "this user may not use the Docker Engine at $SOCKET." \
            "Add the user to the group docker (usermod -aG docker USER, then log in again), or run as root."
        die "no Docker Engine answers, and only root can install or start one." \
            "Run as root: scripts/engine.sh start" "Or start an engine by your own means; \`docker info\` must succeed."
    fi
}

start_service() { # on machines with systemd the engine is the system's service
    STARTED=1
    systemctl start docker >>"$LOG" 2>&1 && wait_for_answer "$START_TRIES" ||
        die "the service docker does not start." "See: systemctl status docker; journalctl -u docker"
    echo service - >"$PID_FILE"
}

start_daemon() {
    local pid
    forget_stale /var/run/docker.pid dockerd
    forget_stale /var/run/docker/containerd/containerd.pid containerd
    # Started by somebody else, or by the package's own script, a moment ago.
    if is_running dockerd; then
        wait_for_answer "$START_TRIES" && return 0
        die "a dockerd is running but does not answer at $SOCKET." "Stop it (or wait for it) and run this again."
    fi
    : >"$LOG"
    local settings=()
    if [ -n "${ENGINE_FOLDER:-}" ]; then
        echo '{}' >"$SETTINGS"
        [ "${ENGINE_GVISOR:-0}" = 0 ] || DOCKER_SETTINGS="$FOLDER/none" scripts/gvisor.sh "$SETTINGS" || true
        settings=(--config-file "$SETTINGS" --data-root "$FOLDER/data")
    else
        scripts/gvisor.sh "$SETTINGS" && settings=(--config-file "$SETTINGS")
    fi
    STARTED=1
    setsid dockerd --bridge=none --iptables=false --ip-forward=false --ip-masq=false "${settings[@]}" \
        >>"$LOG" 2>&1 </dev/null 9>&- &
    pid=$!
    echo "$pid $(start_time "$pid")" >"$PID_FILE"
    if ! wait_for_answer "$START_TRIES" "$pid"; then
        tail -n 15 "$LOG" >&2
        stop
        die "the Docker Engine (dockerd) did not come up; the end of its log $LOG is above." \
            "It needs root with the right to mount and to use cgroups. In a container, that is a privileged one."
    fi
    say "started a Docker Engine (log in $LOG)"
}

start() {
    engine_answers && return 0
    check_possible
    mkdir -p "$FOLDER"
    exec 9>"$FOLDER/engine.lock"
    flock --wait 900 9 || die "another start of the engine has been running for 15 minutes." "End it and run this again."
    if ! command -v dockerd >/dev/null 2>&1; then
        apt_install "the Docker Engine" docker.io
        # Debian 12 has the command in the same package, Debian 13 in one of its own. README builds images with it.
        command -v docker >/dev/null 2>&1 || apt_install "the command docker" docker-cli
    fi
    # The package starts its service by itself where it can.
    if ! engine_answers; then
        if [ -d /run/systemd/system ]; then start_service; else start_daemon; fi
    fi
    exec 9>&-
}

stop() {
    local pid i
    if [ "$(cat "$PID_FILE" 2>/dev/null)" = "service -" ]; then
        systemctl stop docker.socket docker.service
    elif pid="$(own_pid)"; then
        kill -TERM "$pid" 2>/dev/null || true
        # It gives running containers 15 s to end.
        for ((i = 0; i < STOP_TRIES; i++)); do
            [ -n "$(start_time "$pid")" ] && [ "$(process_state "$pid")" != Z ] || break
            sleep 0.5
        done
        if [ "$i" = "$STOP_TRIES" ]; then
            say "the engine (process $pid) did not stop in $((STOP_TRIES / 2)) s; killing it"
            kill -KILL "$pid" 2>/dev/null || true
        fi
    fi
    rm -f "$PID_FILE"
}

process_state() { # PID
    local stat
    stat="$(cat "/proc/$1/stat" 2>/dev/null)" || return 0
    set -- ${stat##*)}
    echo "$1"
}

status() {
    if ! engine_answers; then
        echo "no Docker Engine answers"
        return 1
    fi
    if own_pid >/dev/null || [ "$(cat "$PID_FILE" 2>/dev/null)" = "service -" ]; then
        echo "a Docker Engine answers; it was started by this script"
    else
        echo "a Docker Engine answers; it was not started by this script"
    fi
}

run() {
    if engine_answers; then
        exec "$@"
    fi
    # Of two calls at the same time only the one that started the engine may stop it.
    trap '[ "$STARTED" = 0 ] || stop' EXIT
    trap 'exit 130' INT
    trap 'exit 143' TERM HUP
    start
    local code=0
    "$@" || code=$?
    exit "$code"
}

case "${1:-}" in
    start | stop | status) [ $# = 1 ] || die "engine.sh $1 takes no further words."; "$1" ;;
    run)
        shift
        [ $# -gt 0 ] || die "engine.sh run needs a command."
        run "$@"
        ;;
    *) sed -n '2,6s/^# \{0,1\}//p' "${BASH_SOURCE[0]}" >&2; exit 2 ;;
esac
