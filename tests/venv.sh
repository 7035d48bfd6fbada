#!/usr/bin/env bash
# Makes a Python environment in a folder, where there is none, with packages: tests/venv.sh FOLDER PACKAGE==VERSION…
set -euo pipefail
folder=$1
shift
if [ ! -x "$folder/bin/pip" ]; then
  if ! python3 -m venv "$folder" 2>/dev/null; then
    # Debian's own Python comes without venv.
    [ "$(id -u)" = 0 ] || { echo "install python3-venv" >&2; exit 1; }
    apt-get update -qq && apt-get install -y -qq python3-venv >/dev/null
    python3 -m venv "$folder"
  fi
fi
[ $# = 0 ] || "$folder/bin/pip" install -q "$@"
