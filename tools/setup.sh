#!/bin/sh
# Make the virtual environment $1 (.venv) from requirements.lock. Brings uv along where it is missing.
set -eu
venv=${1:-.venv}

python=""
for candidate in ${PYTHON:-} python3 python3.13 python3.12 python3.11 python; do
    if command -v "$candidate" >/dev/null 2>&1 &&
        "$candidate" -c 'import sys; sys.exit(not (3, 11) <= sys.version_info[:2])' 2>/dev/null; then
        python=$(command -v "$candidate")
        break
    fi
done
if [ -z "$python" ]; then
    echo "setup: Python 3.11 or newer is needed; name one with PYTHON=/path/to/python make setup" >&2
    exit 5
fi

uv=$(command -v uv || true)
if [ -z "$uv" ]; then
    # --target installs beside the system's packages, which also externally managed Pythons allow.
    if [ ! -x .tools/bin/uv ]; then
        "$python" -m pip install --quiet --disable-pip-version-check --root-user-action=ignore --target .tools uv 2>/dev/null ||
            { "$python" -m venv .tools/python && .tools/python/bin/pip install --quiet uv &&
                mkdir -p .tools/bin && ln -sf ../python/bin/uv .tools/bin/uv; } ||
            { echo "setup: uv could not be installed with $python; install uv or python3-pip, then again" >&2; exit 5; }
    fi
    uv=.tools/bin/uv
fi

[ -x "$venv/bin/python" ] || "$uv" venv --quiet --python "$python" "$venv"
VIRTUAL_ENV=$venv "$uv" pip sync --quiet --python "$venv/bin/python" --require-hashes requirements.lock
"$uv" pip install --quiet --python "$venv/bin/python" --no-deps --no-build-isolation --editable .
touch "$venv/.ready"
echo "setup: $venv is ready"
