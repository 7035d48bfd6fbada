#!/usr/bin/env bash
# Which of our crates may depend on which; anything else is an error. Tests and build scripts are not looked at.
set -euo pipefail
cd "$(dirname "$0")/.."

declare -A allowed=(
  [domain]=""
  [proto]="domain"
  [dataset]="domain"
  [model]="domain"
  [storage]="domain"
  [service]=""
  [wording]=""
  [ingestion]="dataset domain storage wording"
  [coordinator]="dataset domain ingestion proto service storage"
  [worker]="dataset domain model proto service storage"
  [scorer]="domain model proto service storage"
  [quality]="dataset domain model storage worker"
  [bench]="dataset domain model worker"
  [load]="dataset proto service"
  [cllm4rec-console]="domain proto service wording"
  [cli]="cllm4rec-console coordinator dataset domain ingestion proto scorer service storage wording worker"
)

status=0
for crate in "${!allowed[@]}"; do
  for dependency in $(cargo tree -q -p "$crate" -e normal --depth 1 --prefix none --format '{p}' | tail -n +2 | grep -F "($PWD" | cut -d' ' -f1 | sort -u); do
    if ! grep -qw -- "$dependency" <<<"${allowed[$crate]}"; then
      echo "layers: $crate must not depend on $dependency" >&2
      status=1
    fi
  done
done
if cargo tree -q -p coordinator -e normal --prefix none | grep -q '^burn'; then
  echo "layers: the coordinator must not link a tensor library" >&2
  status=1
fi
[ $status = 0 ] && echo "layers: ok"
exit $status
