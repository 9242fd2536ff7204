#!/usr/bin/env bash
# Everything that must hold before a change is taken: lint, format, types, the import rule, all tests. Ends at the first
# step that fails and names it. Words given are passed on to pytest. `make test` calls it with a Docker Engine running.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

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

# Containers and graphs of processes want the machine for themselves; all other tests share its cores.
tests() { # [words for pytest]
    local folder alone=() apart=()
    if [ $# != 0 ]; then
        step "tests" .venv/bin/python -m pytest "$@"
        return
    fi
    for folder in tests/sandbox tests/processes tests/soak; do
        alone+=("$folder")
        apart+=("--ignore=$folder")
    done
    step "tests of the code" .venv/bin/python -m pytest --numprocesses "$(nproc)" "${apart[@]}" tests
    step "tests with real containers and processes" .venv/bin/python -m pytest "${alone[@]}"
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
