#!/usr/bin/env bash
# Builds, installs and tries the clients in clean folders, against the binaries in target/debug; checks that another program reads
# the description of HTTP.
set -euo pipefail
cd "$(dirname "$0")/.."

tests/redis.sh
tests/stubs.sh
tests/venv.sh target/openapi-venv openapi-spec-validator==0.7.2
target/openapi-venv/bin/python -m openapi_spec_validator docs/openapi.json
clients/python/check.sh
node=$(node --version 2>/dev/null | sed 's/^v\([0-9]*\).*/\1/')
if [ "${node:-0}" -ge 20 ]; then
  clients/typescript/check.sh
else
  echo "clients: TypeScript SKIPPED, Node 20 or later is needed, found ${node:-none}"
fi
