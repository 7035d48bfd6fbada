#!/usr/bin/env bash
# Serving, measured: services, two Redis and the load generator on this machine, one JSON line a point.
#   DATA=folder (examples/games), SECONDS_A_POINT=60, SHAPES="256x2x4 768x12x12", BIN=folder with the binaries
set -euo pipefail
cd "$(dirname "$0")/.."

data=$(realpath "${DATA:-examples/games}") seconds=${SECONDS_A_POINT:-60}
bin=${BIN:-target/release}
[ -n "${BIN:-}" ] || cargo build --release --workspace --bins
bin=$(realpath "$bin")
run=$(mktemp -d)
free_port() { python3 -c 'import socket; s = socket.socket(); s.bind(("127.0.0.1", 0)); print(s.getsockname()[1])'; }
store=$(free_port) cache=$(free_port) api=$(free_port) workers=$(free_port) scorer=$(free_port)
trap 'kill $(jobs -p) 2>/dev/null; wait 2>/dev/null; rm -rf "$run"' EXIT
cd "$run" && mkdir store cache

redis-server --port "$store" --dir store --appendonly yes --save "" >store.log &
redis-server --port "$cache" --dir cache --save "" --maxmemory 1gb --maxmemory-policy allkeys-lru >cache.log &
export {COORDINATOR,SCORER,CLLM4REC}__STORAGE__STORE=redis://127.0.0.1:$store
export {COORDINATOR,SCORER}__STORAGE__CACHE=redis://127.0.0.1:$cache
export COORDINATOR__API__ADDRESS=127.0.0.1:$api COORDINATOR__WORKERS__ADDRESS=127.0.0.1:$workers
export SCORER__API__ADDRESS=127.0.0.1:$scorer WORKER__COORDINATOR__URL=http://127.0.0.1:$workers
export CLLM4REC__COORDINATOR__URL=http://127.0.0.1:$api CLLM4REC__SCORER__URL=http://127.0.0.1:$scorer
export {WORKER,SCORER}__DEVICE=${DEVICE:-flex} {COORDINATOR,WORKER,SCORER}__LOG__FILTER=warn
until redis-cli -p "$store" ping >/dev/null 2>&1; do sleep 0.1; done
"$bin/coordinator" & "$bin/scorer" & scorer_pid=$!
"$bin/worker" & worker_pid=$!
until "$bin/cllm4rec" train list >/dev/null 2>&1; do sleep 0.2; done

dataset=$("$bin/cllm4rec" --json dataset import "$data" | tail -1 | python3 -c 'import json, sys; print(json.load(sys.stdin)["dataset"])')

for shape in ${SHAPES:-256x2x4 768x12x12}; do
  IFS=x read -r width layers heads <<<"$shape"
  "$bin/cllm4rec" train submit --dataset "$dataset" --label "shape-$shape" --label live --watch \
    --set backbone.random.n_embd="$width" --set backbone.random.n_layer="$layers" --set backbone.random.n_head="$heads" \
    --set pretraining.content_epochs=0 --set pretraining.epochs=0 --set finetuning.epochs=0 --set spectral_rank=64 \
    --set evaluation.baselines=none >&2
done
kill "$worker_pid"

ready() { until "$bin/cllm4rec" recommend nobody --label "$1" >/dev/null 2>&1; do sleep 0.2; done; }
restart_scorer() {
  kill "$scorer_pid" && wait "$scorer_pid" || true
  "$bin/scorer" & scorer_pid=$!
  ready "$1"
}
load() { # name, then the load generator's arguments
  local name=$1 && shift
  "$bin/cllm4rec-load" --url "http://127.0.0.1:$scorer" --dataset "data/artifacts/datasets/$dataset" --seconds "$seconds" "$@" |
    sed "s/^{/{\"point\":\"$name\",/"
}
rss() { awk '/VmRSS/ { print $2 * 1024 }' "/proc/$scorer_pid/status"; }

for shape in ${SHAPES:-256x2x4 768x12x12}; do
  label=shape-$shape
  printf 'label = "%s"\n' "$label" >cached.toml
  printf 'label = "%s"\n[[kinds]]\nfresh_history = 5\n' "$label" >fresh.toml
  printf 'label = "%s"\ndeadline_ms = 200\n' "$label" >overload.toml
  restart_scorer "$label"
  load "$shape cached" --workload cached.toml --warm-users --rate 1000,3000
  load "$shape overload" --workload overload.toml --rate 10000
  printf '{"point":"%s memory","bytes":%s}\n' "$shape" "$(rss)"
  load "$shape cached, after" --workload cached.toml --rate 1000
  restart_scorer "$label"
  load "$shape Redis-warm" --workload cached.toml --rate 1000 --warm-up 0
  seed=1
  for rate in ${FRESH_RATES:-10 20 40 80 160 320 640}; do
    load "$shape fresh" --workload fresh.toml --rate "$rate" --seed "$seed" --warm-up 2
    seed=$((seed + 1))
  done
done
