# shellcheck shell=bash
# Sourced by the other scripts: a virtual environment of this project's own, made when it is missing or out of date.
#
#   environment NAME ARGUMENT…   leaves its folder in $venv; the arguments are pip's
#   system COMMAND:PACKAGE…      programs that tests run for real, from Debian's packages
#
# Needs a Python with venv and pip, chosen by $PYTHON (python3 if unset); uses uv where there is one, since it is faster.
# The versions come from scripts/constraints.txt, or from the file in $CONSTRAINTS.

set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

python=${PYTHON:-python3}
constraints=${CONSTRAINTS:-scripts/constraints.txt}

die() {
    printf '%s\n' "$*" >&2
    exit 2
}

# What a test wants from the system and pip cannot bring, as COMMAND:PACKAGE of Debian's: installed where it is missing
# and we may; where we may not, it is said what to install. Nothing is left out silently.
system() {
    local wanted missing=()
    for wanted in "$@"; do
        command -v "${wanted%%:*}" >/dev/null || missing+=("${wanted#*:}")
    done
    [ ${#missing[@]} -eq 0 ] && return
    if ! command -v apt-get >/dev/null || [ "$(id -u)" -ne 0 ]; then
        die "tests need ${missing[*]} (Debian's names). Install them, e.g.: sudo apt-get install ${missing[*]}"
    fi
    printf 'installing %s\n' "${missing[*]}" >&2
    # Another process may hold the lock for a while.
    apt-get -o DPkg::Lock::Timeout=300 update -qq >/dev/null
    DEBIAN_FRONTEND=noninteractive apt-get -o DPkg::Lock::Timeout=300 install -y -qq --no-install-recommends \
        "${missing[@]}" >/dev/null
}

environment() {
    local name=$1 version wanted
    shift
    version=$("$python" -c 'import sys; print("%d.%d" % sys.version_info[:2])') || die "no Python: set PYTHON"
    "$python" -c 'import sys; sys.exit(sys.version_info < (3, 11))' || die "$python is $version; 3.11 or newer is needed: set PYTHON"
    venv=$PWD/.venv-$name$version
    wanted=$(
        {
            "$python" -c 'import sys; print(sys.version, sys.executable)'
            printf '%s\n' "$@"
            cat pyproject.toml "$constraints"
        } | "$python" -c 'import hashlib, sys; print(hashlib.sha256(sys.stdin.buffer.read()).hexdigest())'
    )
    [ "$(cat "$venv/stamp" 2>/dev/null)" = "$wanted" ] || make "$@"
    compiled
}

# Tests start hundreds of processes, of which each would compile our modules and collect our tests anew where
# PYTHONDONTWRITEBYTECODE says so. Kept in the environment's folder: nothing is written beside the sources, and what was
# compiled of a library goes when the library does.
compiled() {
    unset PYTHONDONTWRITEBYTECODE
    export PYTHONPYCACHEPREFIX=$venv/bytecode
}

make() {
    printf 'making %s\n' "${venv##*/}" >&2
    rm -rf "$venv"
    # The build backend comes first, pinned like everything else, so that building fetches nothing on its own. pip itself
    # is replaced where it is older than groups of dependencies: nothing else would, where there are no constraints.
    if command -v uv >/dev/null; then
        uv venv --quiet --python "$python" "$venv"
        compiled
        uv pip install --quiet --python "$venv" --constraint "$constraints" pip hatchling
        uv pip install --quiet --compile-bytecode --python "$venv" --constraint "$constraints" --no-build-isolation "$@"
    else
        "$python" -m venv "$venv"
        compiled
        "$venv/bin/python" -m pip install --quiet --disable-pip-version-check --constraint "$constraints" "pip>=25.1" hatchling
        "$venv/bin/python" -m pip install --quiet --disable-pip-version-check --constraint "$constraints" --no-build-isolation "$@"
    fi
    printf '%s\n' "$wanted" >"$venv/stamp"
}
