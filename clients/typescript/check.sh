#!/bin/sh
# Everything that must hold of this package: it installs, compiles, passes its tests against real services, and works
# from its tarball in an empty folder. Needs the npm registry, a redis-server, and the services' binaries
# (CLLM4REC_BIN, or the repository's target/debug).
set -eu
cd "$(dirname "$0")"
CLLM4REC_BIN=${CLLM4REC_BIN:-$(cd ../.. && pwd)/target/debug}
export CLLM4REC_BIN

npm ci --no-audit --no-fund
npm run typecheck
npm run build
npm test

folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
npm pack --pack-destination "$folder"
mkdir "$folder/empty"
cp test/installed.mjs "$folder/empty/"
cd "$folder/empty"
npm init -y > /dev/null
npm install --no-audit --no-fund "$folder"/cllm4rec-*.tgz
node installed.mjs
