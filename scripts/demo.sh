#!/usr/bin/env bash
# The demo. A word given names the file for its summary in JSON. `make demo` calls it with a Docker Engine running.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
if [ -n "${1:-}" ]; then
    exec .venv/bin/learningchain demo --json-file "$1"
fi
exec .venv/bin/learningchain demo
