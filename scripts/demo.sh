#!/usr/bin/env bash
# The demo. A word given names the file for its summary in JSON; with STAY=1 the graph runs on at the end, until Ctrl-C.
# `make demo` calls it with a Docker Engine running.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
words=()
[ -z "${1:-}" ] || words+=(--json-file "$1")
[ "${STAY:-0}" != 1 ] || words+=(--stay)
exec .venv/bin/learningchain demo "${words[@]}"
