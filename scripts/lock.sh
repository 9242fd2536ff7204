#!/usr/bin/env bash
# Writes requirements/run.txt and requirements/dev.txt anew from pyproject.toml: every package that a node (run) or the
# tests (dev) need, with its exact version and the hashes of its files, so that every machine installs the same bytes.
# Called by `make lock`; versions already in the files are kept unless UPGRADE=1 is given.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

PIP_TOOLS="pip-tools==7.6.2"

tools=".run/lock-venv"
if ! "$tools/bin/python" -m piptools --version >/dev/null 2>&1; then
    .venv/bin/python -m venv --clear "$tools"
    "$tools/bin/python" -m pip install --quiet --disable-pip-version-check "$PIP_TOOLS"
fi

write_lock() { # FILE TITLE [pip-compile options]
    local file="$1" title="$2" body
    shift 2
    body="$(mktemp "$PWD/.run/lock.XXXXXX")"
    # pip-compile keeps the versions which its output file already names.
    [ "${UPGRADE:-0}" = 1 ] || [ ! -f "$file" ] || cp "$file" "$body"
    "$tools/bin/python" -m piptools compile --quiet --generate-hashes --allow-unsafe --strip-extras \
        --no-header --no-annotate --no-emit-index-url --no-emit-trusted-host --no-emit-find-links --no-emit-options \
        "$@" --output-file "$body" pyproject.toml
    {
        echo "# $title Python 3.11. Made from pyproject.toml by \`make lock\`; do not edit by hand."
        grep -v '^#' "$body"
    } >"$file.new"
    mv "$file.new" "$file"
    rm -f "$body"
    echo "wrote $file: $(grep -c '==' "$file") packages"
}

write_lock requirements/run.txt "What a node needs to run, every version and file pinned."
# The development set keeps to the versions a node runs with.
write_lock requirements/dev.txt "What a node and its tests need, every version and file pinned." \
    --extra dev --all-build-deps --constraint requirements/run.txt
