#!/usr/bin/env bash
# Sets up what the tests need, builds the binaries that the end-to-end tests start, and runs the tests.
# Arguments go to `cargo test` (such as `--test jobs`).
set -euo pipefail
cd "$(dirname "$0")/.."

if ! command -v redis-server >/dev/null; then
  if [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null; then
    apt-get update -qq
    apt-get install -y -qq redis-server
  else
    echo "the tests need redis-server (7 or later) on the PATH: install it, or run this as root on Debian or Ubuntu" >&2
    exit 1
  fi
fi

cargo build --workspace --bins
if [ $# -eq 0 ] && command -v cargo-nextest >/dev/null; then
  exec cargo nextest run --workspace --no-fail-fast
fi
exec cargo test --workspace --no-fail-fast "$@"
