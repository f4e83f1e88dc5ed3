#!/bin/sh
# lock.sh PYTHON: resolves the locks anew, for every platform and Python >= 3.11, with hashes and without addresses.
#   requirements.lock        everything a developer needs
#   requirements-run.lock    what the worker image needs
#   requirements-build.lock  what makes the wheel
# The resolver, uv, lives in a temporary environment: nothing of it is needed to install.
set -eu
python=$1
place=$(mktemp -d)
trap 'rm -rf "$place"' EXIT
"$python" -m venv "$place"
"$place/bin/python" -m pip install --quiet --disable-pip-version-check uv
compile() {
    "$place/bin/uv" pip compile --quiet --generate-hashes --no-emit-index-url --no-header \
        --universal --python-version 3.11 "$@"
}
compile pyproject.toml --extra local --group dev --output-file requirements.lock
compile pyproject.toml --constraint requirements.lock --output-file requirements-run.lock
compile --group build --constraint requirements.lock --output-file requirements-build.lock
git --no-pager diff --stat -- 'requirements*.lock'
