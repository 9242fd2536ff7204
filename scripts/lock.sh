#!/usr/bin/env bash
# Writes requirements/VERSION/run.txt and dev.txt anew from pyproject.toml, for every Python that is supported: each package that
# a node (run) or the tests (dev) need, with its exact version and the hashes of its files, so that every machine installs the same
# bytes. No interpreter of that version is needed. Called by `make lock`; versions already in the files are kept unless UPGRADE=1
# is given, and a newer Python keeps to the versions of an older one where it can.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
# shellcheck source=scripts/lib.sh
. scripts/lib.sh

UV="uv==0.13.9" # pip-tools can only resolve for the interpreter that it runs on

tools=".run/lock-venv"
if [ "$("$tools/bin/python" -m pip list --format freeze 2>/dev/null | grep '^uv==')" != "$UV" ]; then
    .venv/bin/python -m venv --clear "$tools"
    "$tools/bin/python" -m pip install --quiet --disable-pip-version-check "$UV"
fi
# uv does not read pip's settings; where those name another index, it is asked instead.
index="$(.venv/bin/python -m pip config get global.index-url 2>/dev/null || true)"
[ -z "$index" ] || export UV_DEFAULT_INDEX="$index"
scratch="$(mktemp -d "$PWD/.run/lock.XXXXXX")"
trap 'rm -rf "$scratch"' EXIT
# What builds the project itself is installed beside it: setup.sh builds without reaching for an index.
.venv/bin/python -c 'import tomllib; print(*tomllib.load(open("pyproject.toml", "rb"))["build-system"]["requires"], sep="\n")' \
    >"$scratch/build.txt"

write_lock() { # VERSION NAME TITLE LOCK-WHOSE-VERSIONS-ARE-KEPT [uv's options and further files]
    local version="$1" file="requirements/$1/$2" title="$3" kept="$4" body="$scratch/lock.txt"
    shift 4
    mkdir -p "${file%/*}"
    # uv keeps the versions which its output file already names.
    rm -f "$body"
    [ ! -f "$kept" ] || cp "$kept" "$body"
    "$tools/bin/uv" pip compile --quiet --python-version "$version" --python .venv/bin/python --generate-hashes --no-header \
        --no-annotate --no-emit-index-url --no-emit-find-links --output-file "$body" pyproject.toml "$@" >/dev/null
    {
        echo "# $title Python $version. Made from pyproject.toml by \`make lock\`; do not edit by hand."
        grep -v '^#' "$body"
    } >"$file.new"
    mv "$file.new" "$file"
    say "wrote $file: $(grep -c '==' "$file") packages"
}

older=
for version in "${PYTHONS[@]}"; do
    run="requirements/$version/run.txt" dev="requirements/$version/dev.txt"
    # A version's own lock first, then that of the Python before it.
    kept_run="$run" kept_dev="$dev"
    if [ "${UPGRADE:-0}" = 1 ] || [ ! -f "$dev" ]; then
        kept_run="requirements/$older/run.txt" kept_dev="requirements/$older/dev.txt"
    fi
    write_lock "$version" run.txt "What a node needs to run, every version and file pinned." "$kept_run"
    # The development set keeps to the versions a node runs with.
    write_lock "$version" dev.txt "What a node and its tests need, every version and file pinned." "$kept_dev" \
        "$scratch/build.txt" --extra dev --constraint "$run"
    older="$version"
done
