#!/bin/sh
# Checks the client as somebody gets it: builds the wheel, installs it into a clean environment, and runs the types' check, the
# tests and the notebook there, against the repository's binaries.
#
#   PYTHON=python3.9 CLLM4REC_BIN=…/target/release clients/python/check.sh
#
# It needs PyPI, redis-server and built binaries (target/debug when CLLM4REC_BIN is not set), and writes nothing but in a
# temporary folder.
set -eu

here=$(cd "$(dirname "$0")" && pwd)
bin=${CLLM4REC_BIN:-$here/../../target/debug}
CLLM4REC_BIN=$(cd "$bin" && pwd)
export CLLM4REC_BIN PYTHONDONTWRITEBYTECODE=1
scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT
begun=$(date +%s)

step() {
    echo "== $(($(date +%s) - begun)) s: $1"
}

step "a clean environment"
"${PYTHON:-python3}" -m venv "$scratch/env"
python=$scratch/env/bin/python
# A copy: building leaves files beside the sources.
mkdir "$scratch/source"
(cd "$here" && tar cf - --exclude='*.egg-info' --exclude=build --exclude=__pycache__ .) | tar xf - -C "$scratch/source"

step "the wheel"
"$python" -m pip wheel --quiet --no-deps --wheel-dir "$scratch/dist" "$scratch/source"
wheel=$(ls "$scratch"/dist/cllm4rec-*.whl)
"$python" -m pip install --quiet "$wheel[dev,notebook]"

step "types"
# From another folder, so that the installed package is what is looked at.
cd "$scratch"
"$python" -m mypy --config-file "$here/pyproject.toml" --cache-dir "$scratch/mypy" -p cllm4rec

step "tests"
"$python" -m pytest -q -p no:cacheprovider -c "$here/pyproject.toml" --rootdir "$here" "$here/tests"

step "the notebook"
# Beside the repository's examples, which it looks for above its own folder.
cd "$here/notebooks"
"$python" - "$here/notebooks/tutorial.ipynb" <<'END'
import sys

import nbclient
import nbformat

notebook = nbformat.read(sys.argv[1], as_version=4)
nbclient.NotebookClient(notebook, timeout=900, kernel_name="python3").execute()
END

step "all is well"
