#!/usr/bin/env bash
# Builds the command line as a wheel (target/wheels), and tries it as somebody does who has neither Rust nor this repository: the demo
# in a clean folder.
set -euo pipefail
cd "$(dirname "$0")/.."

tests/venv.sh target/maturin-venv maturin==1.16.0
rm -rf target/wheels
(cd clients/cli && CARGO_TARGET_DIR=${CARGO_TARGET_DIR:-$PWD/../../target} ../../target/maturin-venv/bin/maturin build --release --out ../../target/wheels)
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
tests/venv.sh "$folder/venv" target/wheels/*.whl
mkdir "$folder/clean"
(cd "$folder/clean" && "$folder/venv/bin/cllm4rec" demo >demo.txt && grep -q '^{"dataset"' demo.txt)
echo "wheel: $(ls target/wheels), the demo ran from it"
