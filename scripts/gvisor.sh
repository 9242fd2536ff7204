#!/usr/bin/env bash
# gVisor for an engine that is about to be started: writes the engine's settings with the runtime runsc to FILE, and installs
# Debian's package first where the program is missing (needs root).
#   gvisor.sh FILE
# Exit 1, with a warning, where there is no gVisor to be had or the machine has settings of its own: the engine starts without it.
#
# The filter of system calls holds inside gVisor with --oci-seccomp alone; the platform ptrace needs no support of the processor's.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
# shellcheck source=scripts/lib.sh
. scripts/lib.sh

OWN_SETTINGS="${DOCKER_SETTINGS:-/etc/docker/daemon.json}"

[ $# = 1 ] || die "gvisor.sh needs the file to write."
if [ -e "$OWN_SETTINGS" ]; then
    say "warning: $OWN_SETTINGS is left as it is; runsc runs where it is configured there (docs/sandbox.md)"
    exit 1
fi
if ! command -v runsc >/dev/null 2>&1; then
    (apt_install "gVisor" runsc) || {
        say "warning: the engine starts without gVisor; what would run under it is left out"
        exit 1
    }
fi
printf '{"runtimes": {"runsc": {"path": "%s", "runtimeArgs": ["--network=none", "--platform=ptrace", "--oci-seccomp"]}}}\n' \
    "$(command -v runsc)" >"$1"
