#!/usr/bin/env bash
# The node's container image (packaging/Dockerfile) without a registry: on a Debian that is made here from Debian's own packages,
# with the wheels that requirements/ pins.
#   image.sh [TAG]     TAG is `learningchain` unless it is named
#
# The Debian is the release whose Python is that of .venv: bookworm (3.11) or trixie (3.13). Needs root for debootstrap (installed
# where it is missing), a Debian mirror (MIRROR), the package index that pip is set to, and a Docker Engine (DOCKER_HOST). Who may
# pull from a registry needs none of this: docker build -t learningchain -f packaging/Dockerfile .
# Exit 3 where mirror or index cannot be reached; 1 for everything else that fails.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
# shellcheck source=scripts/lib.sh
. scripts/lib.sh

TAG="${1:-learningchain}"
MIRROR="${MIRROR:-http://deb.debian.org/debian}"
PYTHON=.venv/bin/python
UNREACHABLE=3
CODE=(LICENSE README.md pyproject.toml learningchain chain p2p sandbox client examples requirements .dockerignore packaging/Dockerfile)

[ $# -le 1 ] || die "image.sh takes one word, the image's name." "Call it as: scripts/image.sh learningchain"
[ -x "$PYTHON" ] || die "there is no .venv." "Run: make setup"
[ "$(id -u)" = 0 ] || die "only root can make a Debian." "Run as root: scripts/image.sh $TAG" \
    "Or, with a registry: docker build -t $TAG -f packaging/Dockerfile ."
version="$("$PYTHON" -c 'import sys; print("%d.%d" % sys.version_info[:2])')"
case "$version" in
    3.11) suite=bookworm ;;
    3.13) suite=trixie ;;
    *) die "no Debian release has Python $version, which .venv has." "Make .venv with another one: make setup PYTHON=/usr/bin/python3.11" \
        "Or, with a registry: docker build -t $TAG -f packaging/Dockerfile ." ;;
esac
command -v docker >/dev/null 2>&1 || die "there is no command docker." "Run: scripts/engine.sh start"
command -v debootstrap >/dev/null 2>&1 || apt_install "the command debootstrap" debootstrap

mkdir -p .run
scratch="$(mktemp -d "$PWD/.run/image.XXXXXX")"
base="learningchain-base:$$" stage="learningchain-stage:$$"
forget() {
    docker image rm "$stage" "$base" >/dev/null 2>&1 || true
    rm -rf --one-file-system "$scratch"
}
trap forget EXIT

# ldd and the C compiler's library come with minbase; the node needs its certificates from pip's certifi alone.
say "making Debian $suite with Python $version"
debootstrap --variant=minbase --include=python3,python3-venv "$suite" "$scratch/root" "$MIRROR" >"$scratch/debootstrap.log" 2>&1 || {
    tail -n 5 "$scratch/debootstrap.log" >&2
    say "error: Debian $suite could not be made from $MIRROR; the end of debootstrap's log is above." \
        "Check that the mirror can be reached, or name another one: MIRROR=http://... scripts/image.sh"
    exit "$UNREACHABLE"
}
rm -rf "$scratch"/root/var/cache/apt/archives/*.deb "$scratch"/root/var/lib/apt/lists/* "$scratch"/root/var/log/*.log \
    "$scratch"/root/usr/share/doc "$scratch"/root/usr/share/man "$scratch"/root/usr/share/locale
# What debootstrap took over from this machine is this machine's business.
rm -f "$scratch/root/etc/resolv.conf" "$scratch/root/etc/hostname" "$scratch/root/etc/machine-id"
tar -C "$scratch/root" --one-file-system -c . | docker import --change 'CMD ["/bin/sh"]' - "$base" >/dev/null

say "fetching the wheels of requirements/$version"
mkdir "$scratch/context"
sed -n '/^setuptools==/,/[^\\]$/p' "requirements/$version/dev.txt" >"$scratch/tools.txt"
for lock in "requirements/$version/run.txt" "$scratch/tools.txt"; do
    "$PYTHON" -m pip download --quiet --disable-pip-version-check --no-input --no-deps --only-binary=:all: --require-hashes \
        --requirement "$lock" --dest "$scratch/context/wheels" 2>"$scratch/pip.log" || {
        tail -n 5 "$scratch/pip.log" >&2
        say "error: the wheels of $lock could not be fetched; the end of pip's message is above." \
            "Check that the package index can be reached (proxy, pip.conf), then run this again."
        exit "$UNREACHABLE"
    }
done

say "building $TAG"
tar -c --exclude=__pycache__ "${CODE[@]}" | tar -C "$scratch/context" -x
# The classic builder runs on any engine, and no step of it needs a network.
build() {
    DOCKER_BUILDKIT=0 docker build --quiet --network none --build-arg BASE="$base" --build-arg PIP_ARGS="--no-index --find-links wheels" \
        --file "$scratch/context/packaging/Dockerfile" "$@" "$scratch/context" 2> >(grep -v -i -e deprecated -e buildkit -e 'environment-variable' -e '^$' >&2)
}
# The stage that builds gets a name, by which it can be removed again.
build --target build --tag "$stage" >/dev/null
build --tag "$TAG"
