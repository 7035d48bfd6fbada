#!/bin/sh
# Writes src/generated anew from the repository's protos; run by `npm run generate` when they change.
#
# What the protos import beside google/protobuf (google/api/annotations.proto) is generated with them, where it is there.
set -eu
cd "$(dirname "$0")"
protos=../../proto

rm -rf src/generated
buf generate "$protos" --include-imports \
  --path "$protos/cllm4rec/v1/dataset.proto" \
  --path "$protos/cllm4rec/v1/history.proto" \
  --path "$protos/cllm4rec/v1/model.proto" \
  --path "$protos/cllm4rec/v1/recommendation.proto" \
  --path "$protos/cllm4rec/v1/training.proto"
buf generate proto
