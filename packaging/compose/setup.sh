#!/usr/bin/env bash
# Makes the graph of compose.yaml, once: a passphrase and an identity for each node, the network's file, and that file on every node.
#   setup.sh [IMAGE]     IMAGE is `learningchain` unless it is named; COMPOSE names the program where it is not found by itself
#
# A node's key is made in its own container and never leaves its volume. What is there already is kept: a call that was
# interrupted is repeated, and one on a graph that was set up changes nothing.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")"

NODES=(v1 v2 v3 v4 w1 w2)
VALIDATOR_CREDITS=100
WORKER_CREDITS=50
IMAGE="${1:-learningchain}"
SOCKET="${DOCKER_SOCKET:-/var/run/docker.sock}"
# The volume's own copy is what counts; this one is for people who look, and to tell a graph that is complete.
GENESIS=genesis.json

die() {
    echo "error: $1" >&2
    shift
    [ $# = 0 ] || printf '       %s\n' "$@" >&2
    exit 1
}

[ $# -le 1 ] || die "setup.sh takes one word, the image's name." "Call it as: packaging/compose/setup.sh learningchain"
if [ -z "${COMPOSE:-}" ]; then
    if docker compose version >/dev/null 2>&1; then
        COMPOSE="docker compose"
    elif command -v docker-compose >/dev/null 2>&1; then
        COMPOSE=docker-compose
    else
        die "there is no Compose." "Install it: apt-get install docker-compose"
    fi
fi
read -ra compose <<<"$COMPOSE"
command -v "${compose[0]}" >/dev/null 2>&1 || die "COMPOSE=$COMPOSE is no program." "Unset COMPOSE, or name one, such as COMPOSE=docker-compose"
docker image inspect "$IMAGE" >/dev/null 2>&1 || die "the engine has no image $IMAGE." \
    "Build it: scripts/image.sh $IMAGE, or docker build -t $IMAGE -f packaging/Dockerfile . (in the clone's folder)"

umask 077
if [ ! -e .env ]; then
    gid="$(stat -c %g "$SOCKET" 2>/dev/null || echo 65534)"
    printf '%s\n' "LEARNINGCHAIN_IMAGE=$IMAGE" "DOCKER_SOCKET=$SOCKET" "DOCKER_GID=$gid" ${LEARNINGCHAIN_NET:+"LEARNINGCHAIN_NET=$LEARNINGCHAIN_NET"} >.env
fi
# A container's user is none of this machine's, so the files are readable for all, and the folder is what keeps others out.
mkdir -p secrets
chmod 700 secrets
for node in "${NODES[@]}"; do
    [ -s "secrets/$node" ] || { head -c 24 /dev/urandom | base64 >"secrets/$node.new" && mv "secrets/$node.new" "secrets/$node"; }
    chmod 444 "secrets/$node"
done

service() { case "$1" in w*) echo "key-$1" ;; *) echo "$1" ;; esac; }

said="$(mktemp)"
trap 'rm -f "$said"' EXIT

inside() { # NODE SCRIPT: a shell in a container with the node's volume and passphrase; what it says beside is shown where it fails
    "${compose[@]}" run --rm --no-deps -T --entrypoint /bin/sh "$(service "$1")" -euc "$2" 2>"$said" || {
        cat "$said" >&2
        die "$1 could not be set up; what its container said is above." "Then run this again: what is made is kept."
    }
}

declare -A keys
for node in "${NODES[@]}"; do
    keys[$node]="$(inside "$node" "
        [ -e /data/keystore.json ] || learningchain init --name $node --passphrase-file /run/secrets/passphrase >&2
        learningchain id --public-key" </dev/null | tr -d '\r\n')"
    [[ "${keys[$node]}" =~ ^[0-9a-f]{64,66}$ ]] || die "$node told no key: ${keys[$node]:-nothing}."
    echo "$node has the key ${keys[$node]}"
done

if [ ! -s "$GENESIS" ]; then
    words=
    for node in "${NODES[@]}"; do
        case "$node" in
            v*) words+=" --validator ${keys[$node]}=$VALIDATOR_CREDITS" ;;
            *) words+=" --member ${keys[$node]}=$WORKER_CREDITS" ;;
        esac
    done
    inside v1 "learningchain genesis new --name compose --out /tmp/genesis.json $words >&2; cat /tmp/genesis.json" </dev/null >"$GENESIS.new"
    mv "$GENESIS.new" "$GENESIS"
fi
for node in "${NODES[@]}"; do
    inside "$node" "cat >/tmp/genesis.json
        if [ -e /data/genesis.json ]; then
            cmp -s /tmp/genesis.json /data/genesis.json || { echo '$node has the file of another network' >&2; exit 1; }
        else
            learningchain genesis install /tmp/genesis.json >&2
        fi" <"$GENESIS"
done
echo "The graph is set up. In $PWD: $COMPOSE up -d"
