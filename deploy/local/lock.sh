#!/bin/sh
# lock.sh PYTHON: resolves both locks anew, for every platform and Python >= 3.11, with hashes and without addresses.
# The resolver, uv, lives in a temporary environment: nothing of it is needed to install.
set -eu
python=$1
place=$(mktemp -d)
trap 'rm -rf "$place"' EXIT
"$python" -m venv "$place"
"$place/bin/python" -m pip install --quiet --disable-pip-version-check uv
compile() {
    "$place/bin/uv" pip compile --quiet --generate-hashes --no-emit-index-url --no-header \
        --universal --python-version 3.11 pyproject.toml "$@"
}
compile --extra local --group dev --output-file requirements.lock
compile --constraint requirements.lock --output-file requirements-run.lock
git --no-pager diff --stat -- requirements.lock requirements-run.lock
