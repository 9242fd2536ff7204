#!/usr/bin/env bash
# Prepares .venv: a supported Python, every package of its lock (exact versions, checked hashes), and this project itself in
# editable form, so that `.venv/bin/learningchain` runs the files of this folder. Safe to call at any time and from several
# terminals at once; when nothing has changed it returns at once.
#   PYTHON=/usr/bin/python3.13 scripts/setup.sh    takes that interpreter and no other
#
# The lock files are made from pyproject.toml by `make lock` (scripts/lock.sh), for each Python of its own:
# requirements/3.11/run.txt is what a node needs under Python 3.11, dev.txt adds what the tests and the demo need.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
# shellcheck source=scripts/lib.sh
. scripts/lib.sh

VENV=.venv
PACKAGES_STAMP="$VENV/.packages-installed"
PROJECT_STAMP="$VENV/.project-installed"

SUPPORTED="Python ${PYTHONS[0]} to ${PYTHONS[-1]}"
SYSTEMS="Debian 12 and 13 have one: apt-get install python3 python3-venv"

version_of() { # PYTHON: its version as in 3.11, or nothing where it does not run
    "$1" -c 'import sys; print("%d.%d" % sys.version_info[:2])' 2>/dev/null
}

works() { # PYTHON: is it a supported Python that runs?
    local version
    version="$(version_of "$1")" && [ -n "$version" ] && [[ " ${PYTHONS[*]} " == *" $version "* ]]
}

can_make_venv() { # PYTHON: Debian ships the venv module without ensurepip unless python3-venv is installed
    "$1" -c 'import ensurepip, venv' >/dev/null 2>&1
}

# The distribution's interpreter first: it is built with its profile, and a node runs a tenth faster on it than on most that
# were built by hand. One that cannot make an environment is taken only where there is no other.
find_python() {
    local candidate candidates=(/usr/bin/python3 "${PYTHONS[@]/#//usr/bin/python}" "${PYTHONS[@]/#/python}" python3) found=
    [ -z "${PYTHON:-}" ] || candidates=("$PYTHON")
    for candidate in "${candidates[@]}"; do
        works "$candidate" || continue
        if can_make_venv "$candidate"; then
            echo "$candidate"
            return 0
        fi
        found="${found:-$candidate}"
    done
    [ -n "$found" ] && echo "$found"
}

# The programs in an environment name their interpreter by its full path, so a moved or copied one is made anew.
was_moved() {
    [[ "$(sed -n 's/^command = //p' "$VENV/pyvenv.cfg" 2>/dev/null)" != *" $(pwd -P)/$VENV" ]]
}

is_another_than_wanted() { # PYTHON names an interpreter of another version than the environment's
    [ -n "${PYTHON:-}" ] && [ "$(version_of "$PYTHON")" != "$(version_of "$VENV/bin/python")" ]
}

make_venv() {
    local python
    if ! python="$(find_python)"; then
        [ -z "${PYTHON:-}" ] || die "PYTHON=$PYTHON is not a $SUPPORTED that runs." "Name one that is, or unset PYTHON."
        apt_install "$SUPPORTED" python3 python3-venv
        python="$(find_python)" || die "$SUPPORTED is missing and the system's packages have another version." \
            "Install one of them ($SYSTEMS) and run this again."
    fi
    if ! can_make_venv "$python"; then
        apt_install "Python's venv module" python3-venv
        can_make_venv "$python" || die "$python has no venv module, and the package python3-venv does not serve it." \
            "Install the venv module (with ensurepip) of $python and run this again."
    fi
    say "making $VENV with $("$python" --version)"
    "$python" -m venv --clear "$VENV"
}

install_packages() {
    local wanted lock
    lock="requirements/$(version_of "$VENV/bin/python")/dev.txt"
    wanted="$(sha256sum <"$lock")"
    [ "$(cat "$PACKAGES_STAMP" 2>/dev/null)" != "$wanted" ] || return 0
    say "installing the packages of $lock (about a minute the first time)"
    "$VENV/bin/python" -m pip install --quiet --disable-pip-version-check --no-input --retries 5 \
        --require-hashes --requirement "$lock" ||
        die "the packages of $lock could not be installed; pip's message is above." \
            "Check that the Python package index can be reached (proxy, pip.conf) and that the disk is not full, then run this again."
    echo "$wanted" >"$PACKAGES_STAMP"
}

install_project() {
    [ -f learningchain/__init__.py ] || return 0
    local wanted
    wanted="$(sha256sum <pyproject.toml)"
    [ "$(cat "$PROJECT_STAMP" 2>/dev/null)" != "$wanted" ] || [ ! -x "$VENV/bin/learningchain" ] || return 0
    say "installing the command $VENV/bin/learningchain"
    "$VENV/bin/python" -m pip install --quiet --disable-pip-version-check --no-input --no-index \
        --no-deps --no-build-isolation --config-settings editable_mode=compat --editable . ||
        die "the project could not be installed into $VENV; pip's message is above." \
            "Most likely pyproject.toml names something that is not there."
    echo "$wanted" >"$PROJECT_STAMP"
}

mkdir -p .run
exec 9>.run/setup.lock
flock --wait 900 9 || die "another setup of this folder has been running for 15 minutes." \
    "End it (it holds .run/setup.lock) and run this again."
if ! works "$VENV/bin/python" || is_another_than_wanted || was_moved || ! "$VENV/bin/python" -c 'import pip' >/dev/null 2>&1; then
    make_venv
fi
install_packages
install_project
# As an installation from a package has it: a start would otherwise compile our own code each time, where Python may not keep what it
# compiled (PYTHONDONTWRITEBYTECODE).
"$VENV/bin/python" -m compileall -q learningchain benchmarks || die "the code could not be compiled." \
    "Python's message is above."
