#!/usr/bin/env bash
# Sets up what the tests need, builds the binaries that the end-to-end tests start, and runs the tests.
# Arguments go to `cargo test` (such as `--test jobs`).
set -euo pipefail
cd "$(dirname "$0")/.."

tests/redis.sh
cargo build --workspace --bins
if [ $# -eq 0 ] && command -v cargo-nextest >/dev/null; then
  exec cargo nextest run --workspace --no-fail-fast
fi
exec cargo test --workspace --no-fail-fast "$@"
