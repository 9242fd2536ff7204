#!/usr/bin/env bash
# Everything that must hold before a change is taken: lint, format, types, the import rule, all tests. Ends at the first
# step that fails and names it. Words given are passed on to pytest. `make test` calls it with a Docker Engine running.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
# shellcheck source=scripts/lib.sh
. scripts/lib.sh

step() { # TITLE COMMAND...
    local title="$1" code=0
    shift
    echo "== $title"
    "$@" || code=$?
    if [ "$code" != 0 ]; then
        echo "== FAILED: $title (exit $code; the command was: $*)" >&2
        exit "$code"
    fi
}

lint() {
    step "lint" .venv/bin/ruff check --quiet .
    step "format" .venv/bin/ruff format --check --quiet .
    step "import rule" .venv/bin/lint-imports
}

types() {
    step "types" .venv/bin/mypy
}

# Most graphs of processes leave a core idle; containers under exact limits, the demo and the soak want the machine for themselves.
tests() { # [words for pytest]
    local apart=(tests/sandbox tests/soak tests/processes/test_demo.py)
    local pytest=(.venv/bin/python -m pytest)
    if [ $# != 0 ]; then
        step "tests" "${pytest[@]}" "$@"
        return
    fi
    step "tests of the code" "${pytest[@]}" --numprocesses "$(nproc)" "${apart[@]/#/--ignore=}" --ignore=tests/processes tests
    # Only root can make the networks that are cut in two; for anybody else those tests are skipped, with that reason.
    [ "$(id -u)" != 0 ] || command -v ip >/dev/null || apt_install "the command ip" iproute2
    step "tests with real nodes" "${pytest[@]}" --numprocesses 2 --dist loadfile "${apart[@]/#/--ignore=}" tests/processes
    step "tests with real containers, the demo and the soak" "${pytest[@]}" "${apart[@]}"
}

case "${1:-all}" in
    lint) lint ;;
    types) types ;;
    all)
        [ $# = 0 ] || shift
        lint
        types
        tests "$@"
        ;;
    *) echo "usage: check.sh [lint | types | all [words for pytest]]" >&2; exit 2 ;;
esac
