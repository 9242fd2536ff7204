#!/usr/bin/env bash
# A bare Debian of another release on this machine, and in it what README tells a newcomer to do.
#   debian.sh [SUITE]            the whole check: setup, lint, types, unit tests, some tests with real nodes and containers, demo
#   debian.sh SUITE COMMAND...   that command instead, in a copy of this folder; set up from earlier calls where there were some
#
# SUITE is `trixie` (Debian 13: Python 3.13, Docker 26) unless it is named; `bookworm` is Debian 12. Needs root, the command
# debootstrap (installed where it is missing) and a Debian mirror (MIRROR). The root is made once, in .run/SUITE (3 GB with all in
# it), and kept; `make clean` removes it.
#
# Everything runs in namespaces of mounts, processes and host name of its own: it has an engine of its own beside the machine's, and
# when this script ends, however it ends, the kernel takes every process and every mount of it away. Only the network is shared.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
# shellcheck source=scripts/lib.sh
. scripts/lib.sh

SUITE="${1:-trixie}"
MIRROR="${MIRROR:-http://deb.debian.org/debian}"
PLACE=".run/$SUITE"
ROOT="$PLACE/root"
INSIDE=/root/learningchain
# What a clone needs before README begins, and nothing that setup or the engine's script are to find missing.
PACKAGES=ca-certificates,git,make
MADE="$PLACE/made"
# Each in its turn; the first that fails ends the check.
CHECK='set -eux
make setup
.venv/bin/python --version
make lint
make types
.venv/bin/mypy --python-version "$(.venv/bin/python -c "import sys; print(\"%d.%d\" % sys.version_info[:2])")"
.venv/bin/python -m pytest -n 2 tests/unit tests/vectors tests/conformance
scripts/engine.sh start
docker version --format "Docker {{.Server.Version}}"
.venv/bin/python -m pytest tests/sandbox/test_engine.py tests/sandbox/test_runs.py tests/processes/test_graph.py tests/processes/test_readme.py
make demo'

[[ "$SUITE" =~ ^[a-z]+$ ]] || die "$SUITE is no name of a Debian release." "Call it as: scripts/debian.sh trixie"
[ "$(id -u)" = 0 ] || die "only root can make and enter another system's root." "Run as root: scripts/debian.sh $*"

make_root() {
    [ ! -f "$MADE" ] || return 0
    command -v debootstrap >/dev/null 2>&1 || apt_install "the command debootstrap" debootstrap
    say "making a bare Debian ($SUITE) in $ROOT (log in $PLACE/debootstrap.log)"
    rm -rf --one-file-system "$ROOT"
    mkdir -p "$ROOT"
    debootstrap --variant=minbase --include="$PACKAGES" "$SUITE" "$ROOT" "$MIRROR" >"$PLACE/debootstrap.log" 2>&1 || {
        tail -n 5 "$PLACE/debootstrap.log" >&2
        die "Debian $SUITE could not be made from $MIRROR; the end of the log is above." \
            "Check that the mirror can be reached, or name another one: MIRROR=http://... scripts/debian.sh $SUITE"
    }
    touch "$MADE"
}

# What the machine needs to reach the outside, the root needs too: names, certificates that its owner added, pip's index.
share_network() {
    local index
    cp -L /etc/resolv.conf /etc/hosts "$ROOT/etc/"
    if [ -d /usr/local/share/ca-certificates ]; then
        mkdir -p "$ROOT/usr/local/share/ca-certificates"
        cp -RL /usr/local/share/ca-certificates/. "$ROOT/usr/local/share/ca-certificates/"
        chroot "$ROOT" update-ca-certificates >/dev/null 2>&1
    fi
    index="$(python3 -m pip config get global.index-url 2>/dev/null || true)"
    [ -z "$index" ] || printf '[global]\nindex-url = %s\n' "$index" >"$ROOT/etc/pip.conf"
}

# This folder as it is, without what git ignores; what an earlier call set up there stays.
copy_tree() {
    mkdir -p "$ROOT$INSIDE"
    find "$ROOT$INSIDE" -mindepth 1 -maxdepth 1 ! -name .venv ! -name .run ! -name '.*_cache' -exec rm -rf --one-file-system {} +
    git ls-files --cached --others --exclude-standard -z | tar --null --no-unquote --verbatim-files-from --ignore-failed-read -T - -c 2>/dev/null |
        tar -C "$ROOT$INSIDE" -x --no-same-owner
}

# Runs as the first process of the new namespaces: mounts, changes the root, runs the command.
ENTER='set -e
root="$1" inside="$2" command="$3"
mount --bind "$root" "$root"
mount -t proc proc "$root/proc"
mount --rbind /sys "$root/sys"
mount --rbind /dev "$root/dev"
mount -t tmpfs -o mode=755 tmpfs "$root/run"
mount -t tmpfs -o mode=1777 tmpfs "$root/tmp"
hostname debian
exec chroot "$root" /usr/bin/env -i HOME=/root LANG=C.UTF-8 PATH=/usr/sbin:/usr/bin:/sbin:/bin \
    ${http_proxy:+http_proxy="$http_proxy"} ${https_proxy:+https_proxy="$https_proxy"} ${no_proxy:+no_proxy="$no_proxy"} \
    bash -c "cd $inside; $command"'

mkdir -p "$PLACE"
exec 9>"$PLACE/lock"
flock --nonblock 9 || die "another call of debian.sh $SUITE runs in $ROOT." "Wait for it to end."
make_root
share_network
copy_tree
[ $# -lt 2 ] || CHECK="${*:2}"
unshare --mount --pid --fork --kill-child --uts --cgroup --propagation private \
    bash -c "$ENTER" enter "$PWD/$ROOT" "$INSIDE" "$CHECK" 9>&-
