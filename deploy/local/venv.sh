#!/bin/sh
# venv.sh VENV LOCK: makes a virtual environment from a lock with hashes, and installs this checkout into it, editable.
# Picks $PYTHON, else the newest Python of the machine that is new enough; says what is missing otherwise.
set -eu
venv=$1
lock=$2

complain() {
    printf 'tally: %s\n' "$@" >&2
    exit 1
}

new_enough() {
    "$1" -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null
}

choose() {
    for candidate in python3 python3.14 python3.13 python3.12 python3.11 python; do
        if new_enough "$candidate"; then
            echo "$candidate"
            return
        fi
    done
}

if [ -n "${PYTHON:-}" ]; then
    new_enough "$PYTHON" || complain "PYTHON=$PYTHON is not a Python 3.11 or newer: $("$PYTHON" --version 2>&1 || true)"
else
    PYTHON=$(choose)
    [ -n "$PYTHON" ] || complain "no Python 3.11 or newer was found, only: $(python3 --version 2>&1 || true)" \
        "  Debian, Ubuntu: apt install python3 python3-venv; macOS: brew install python@3.12;" \
        "  or name one that you have: PYTHON=/path/to/python3.12 make ..."
fi
version=$("$PYTHON" -c 'import sys; print("%d.%d" % sys.version_info[:2])')
"$PYTHON" -c 'import venv, ensurepip' 2>/dev/null || complain \
    "Python $version ($PYTHON) cannot make virtual environments: its ensurepip is missing." \
    "  Debian, Ubuntu: apt install python$version-venv (or python3-venv); then run this again."

echo "Setting up $venv with Python $version from $lock: about 330 MB of pinned, checked packages, once."
[ -x "$venv/bin/python" ] && new_enough "$venv/bin/python" || "$PYTHON" -m venv --clear "$venv"
pip() {
    "$venv/bin/python" -m pip --disable-pip-version-check "$@"
}
pip install --quiet --progress-bar on --require-hashes -r "$lock" || complain \
    "the packages could not be installed; pip says why above." \
    "  Check the network and pip's own settings (pip config list), then run this again: what is here is kept."
pip install --quiet --no-build-isolation --no-deps --editable .
