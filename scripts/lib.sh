# Shared by the scripts of this folder: messages, the Pythons that are supported, and the system's packages. To be sourced by bash.

PYTHONS=(3.11 3.12 3.13) # oldest first; pyproject.toml says the same (requires-python), and requirements/ has a lock for each

say() { echo "$*" >&2; }

die() { # WHAT-AND-WHY [WHAT-TO-DO]...: one line each, then exit 1
    echo "error: $1" >&2
    shift
    while [ $# -gt 0 ]; do
        echo "       $1" >&2
        shift
    done
    exit 1
}

apt_install() { # WHAT PACKAGE...: installs Debian packages, or says what a person must do instead
    local what="$1" log=.run/apt.log
    shift
    command -v apt-get >/dev/null 2>&1 || die "$what is missing, and this system has no apt-get to install it with." \
        "Install it by this system's own means and run this again (on Debian: apt-get install $*)."
    [ "$(id -u)" = 0 ] || die "$what is missing, and only root can install it." \
        "Run as root: apt-get update && apt-get install -y --no-install-recommends $*" "Then run this again."
    mkdir -p .run
    say "installing $* (Debian packages, log in $log)"
    # A failing third-party source must not stop us while Debian's own answer: the install below decides.
    DEBIAN_FRONTEND=noninteractive timeout 300 apt-get -o DPkg::Lock::Timeout=120 -o Acquire::Retries=3 update \
        >"$log" 2>&1 </dev/null 9>&- || say "warning: apt-get update had problems (log in $log)"
    DEBIAN_FRONTEND=noninteractive timeout 900 apt-get -o DPkg::Lock::Timeout=120 -o Acquire::Retries=3 \
        install -y --no-install-recommends "$@" >>"$log" 2>&1 </dev/null 9>&- || {
        tail -n 15 "$log" >&2
        die "$what is missing, and installing the Debian packages ($*) failed; the end of $log is above." \
            "Repair the package sources or the network, then run: apt-get update && apt-get install -y --no-install-recommends $*"
    }
}

# Debian 13's packages, unpacked into DIR/root and not installed. With lists of its own: the system's sources stay as they are, and
# nothing of another release is ever installed.
unpack_newer() { # DIR PACKAGE...
    local place keys=/usr/share/keyrings/debian-archive-keyring.gpg mirror="${MIRROR:-http://deb.debian.org/debian}" package
    place="$(realpath -m "$1")"
    shift
    mkdir -p "$place/lists/partial" "$place/cache/archives/partial"
    echo "deb [signed-by=$keys] $mirror trixie main" >"$place/sources.list"
    local apt=(apt-get -q -o Dir::Etc::sourcelist="$place/sources.list" -o Dir::Etc::sourceparts=- -o Dir::State::lists="$place/lists"
        -o Dir::Cache="$place/cache" -o APT::Sandbox::User=root -o Acquire::Retries=3)
    timeout 300 "${apt[@]}" update >"$place/log" 2>&1 && (cd "$place" && timeout 300 "${apt[@]}" download "$@") >>"$place/log" 2>&1 || {
        tail -n 3 "$place/log" >&2
        return 1
    }
    for package in "$place"/*.deb; do
        dpkg-deb -x "$package" "$place/root" || return 1
    done
}
