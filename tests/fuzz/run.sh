#!/usr/bin/env bash
# run.sh TARGET SECONDS: fuzzes with atheris in .venv-fuzz, which sees the packages of .venv beneath its own. Called by `make fuzz`.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/../.."

# Images at random, compared between the guard and a running engine: no decoder of bytes, so atheris has no part in it.
if [ "${1:-}" = engine ]; then
    exec scripts/engine.sh run .venv/bin/python -m tests.sandbox.differential --seconds "${2:-60}"
fi
VENV=.venv-fuzz
if ! "$VENV/bin/python" -c 'import atheris, aiohttp' >/dev/null 2>&1; then
    echo "making $VENV with atheris"
    .venv/bin/python -m venv --clear "$VENV"
    "$VENV/bin/python" -m pip install --quiet --disable-pip-version-check --no-input --require-hashes \
        --requirement tests/fuzz/requirements.txt
    .venv/bin/python -c 'import sysconfig; print(sysconfig.get_path("purelib"))' \
        >"$("$VENV/bin/python" -c 'import sysconfig; print(sysconfig.get_path("purelib"))')/beneath.pth"
fi
exec "$VENV/bin/python" -m tests.fuzz ${1:+"$1"} --seconds "${2:-60}"
