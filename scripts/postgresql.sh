#!/usr/bin/env bash
# PostgreSQL's server for the tests of the block store, which start one of their own in a folder of their own: installs Debian's
# package where no server is installed (needs root). No cluster of the system is made or started by it.
# Exit 1, with a warning, where there is none to be had: the tests that need it say so.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
# shellcheck source=scripts/lib.sh
. scripts/lib.sh

PROGRAMS="${POSTGRESQL_PROGRAMS:-/usr/lib/postgresql}"
CLUSTERS="${POSTGRESQL_SETTINGS:-/etc/postgresql-common}/createcluster.conf"

compgen -G "$PROGRAMS/*/bin/initdb" >/dev/null && exit 0
command -v initdb >/dev/null 2>&1 && exit 0
if [ "$(id -u)" = 0 ] && [ ! -e "$CLUSTERS" ]; then
    mkdir -p "${CLUSTERS%/*}"
    echo "create_main_cluster = false" >"$CLUSTERS"
fi
(apt_install "PostgreSQL" postgresql) || {
    say "warning: the tests run without PostgreSQL; what needs a server of it is left out"
    exit 1
}
