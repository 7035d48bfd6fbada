#!/usr/bin/env bash
# Builds a CPU LibTorch 2.9.0 (x86-64 Linux) out of PyPI's wheels in the folder given (default target/libtorch), and prints the
# two lines that make builds and programs use it. Downloads .9 GB, keeps .5 GB. Needs Python 3 with pip.
set -euo pipefail
cd "$(dirname "$0")/../.."
folder="${1:-$PWD/target/libtorch}"

if [ ! -e "$folder/lib/libtorch.so" ]; then
  work="$(mktemp -d)"
  trap 'rm -rf "$work"' EXIT
  # pip refuses a file whose hash is another one.
  cat >"$work/wheels.txt" <<'END'
torch==2.9.0 --hash=sha256:51de31219c97c51cf4bf2be94d622e3deb5dcc526c6dc00e97c17eaec0fc1d67
nvidia-cuda-runtime-cu12==12.8.90 --hash=sha256:adade8dcbd0edf427b7204d480d6066d33902cab2a4707dcfc48a2d0fd44ab90
nvidia-cuda-cupti-cu12==12.8.90 --hash=sha256:ea0cb07ebda26bb9b29ba82cda34849e73c166c18162d3913575b0c9db9a6182
END
  python3 -m pip download --quiet --no-deps --only-binary=:all: --python-version 3.11 \
    --platform manylinux_2_28_x86_64 --platform manylinux2014_x86_64 \
    --require-hashes --requirement "$work/wheels.txt" --dest "$work/wheels" >&2
  # Of the wheels only what a CPU build links to; the two CUDA libraries are needed by name alone.
  python3 - "$work" <<'END'
import glob, sys, zipfile
wanted = ("torch/include/", "torch/lib/libtorch_cpu.so", "torch/lib/libc10.so", "torch/lib/libgomp", "lib/libcudart.so.12",
          "lib/libcupti.so.12")
for wheel in glob.glob(f"{sys.argv[1]}/wheels/*.whl"):
    with zipfile.ZipFile(wheel) as files:
        files.extractall(f"{sys.argv[1]}/files", [name for name in files.namelist() if any(part in name for part in wanted)])
END
  rm -rf "$folder"
  mkdir -p "$folder/lib"
  mv "$work/files/torch/include" "$folder/include"
  find "$work/files" -name '*.so*' -exec mv {} "$folder/lib/" \;
  for gomp in "$folder"/lib/libgomp*; do [ -e "$folder/lib/libgomp.so.1" ] || cp "$gomp" "$folder/lib/libgomp.so.1"; done
  ln -s libtorch_cpu.so "$folder/lib/libtorch.so"
fi
echo "export LIBTORCH=$folder"
echo "export LD_LIBRARY_PATH=$folder/lib"
