#!/usr/bin/env bash
# Serving, measured: services, two Redis and the load generator on this machine, one JSON line a point.
#   DATA=folder (examples/games), SECONDS_A_POINT=60, SHAPES="256x2x4 768x12x12", BIN=folder with the binaries,
#   PARTS="cached fresh faults soak": what is measured; OVERLOAD_RATE=6000, SOAK_RATE=2800, SOAK_SECONDS=1800
set -euo pipefail
cd "$(dirname "$0")/.."

data=$(realpath "${DATA:-examples/games}") seconds=${SECONDS_A_POINT:-60} shapes=${SHAPES:-256x2x4 768x12x12}
parts=" ${PARTS:-cached fresh faults soak} "
bin=${BIN:-target/release}
[ -n "${BIN:-}" ] || cargo build --release --workspace --bins
bin=$(realpath "$bin")
run=$(mktemp -d)
free_port() { python3 -c 'import socket; s = socket.socket(); s.bind(("127.0.0.1", 0)); print(s.getsockname()[1])'; }
store=$(free_port) cache=$(free_port) api=$(free_port) workers=$(free_port) port=$(free_port) other_port=$(free_port)
trap 'kill -CONT $(jobs -p) 2>/dev/null; kill $(jobs -p) 2>/dev/null; wait 2>/dev/null; rm -rf "$run"' EXIT
cd "$run" && mkdir store cache

redis-server --port "$store" --dir store --appendonly yes --save "" >store.log &
start_cache() {
  redis-server --port "$cache" --dir cache --save "" --maxmemory 1gb --maxmemory-policy allkeys-lru >cache.log &
  cache_pid=$!
}
start_cache
export {COORDINATOR,SCORER,CLLM4REC}__STORAGE__STORE=redis://127.0.0.1:$store
export {COORDINATOR,SCORER}__STORAGE__CACHE=redis://127.0.0.1:$cache
export COORDINATOR__API__ADDRESS=127.0.0.1:$api COORDINATOR__WORKERS__ADDRESS=127.0.0.1:$workers
export WORKER__COORDINATOR__URL=http://127.0.0.1:$workers
export CLLM4REC__COORDINATOR__URL=http://127.0.0.1:$api CLLM4REC__SCORER__URL=http://127.0.0.1:$port
export {WORKER,SCORER}__DEVICE=${DEVICE:-flex} {COORDINATOR,WORKER,SCORER}__LOG__FILTER=warn
until redis-cli -p "$store" ping >/dev/null 2>&1; do sleep 0.1; done
"$bin/coordinator" &
"$bin/worker" & worker_pid=$!
until "$bin/cllm4rec" train list >/dev/null 2>&1; do sleep 0.2; done

ready() { # label, port
  until CLLM4REC__SCORER__URL=http://127.0.0.1:${2:-$port} "$bin/cllm4rec" recommend nobody --label "$1" >/dev/null 2>&1; do
    sleep 0.2
  done
}
restart_scorer() {
  [ -z "${scorer_pid:-}" ] || { kill "$scorer_pid" && wait "$scorer_pid"; } || true
  SCORER__API__ADDRESS=127.0.0.1:$port "$bin/scorer" & scorer_pid=$!
  [ -z "${1:-}" ] || ready "$1"
}
restart_scorer
until (exec 3<>"/dev/tcp/127.0.0.1/$port") 2>/dev/null; do sleep 0.1; done
dataset=$("$bin/cllm4rec" --json dataset import "$data" | tail -1 | python3 -c 'import json, sys; print(json.load(sys.stdin)["dataset"])')
train() { # label, shape, more fields
  local width layers heads
  IFS=x read -r width layers heads <<<"$2"
  "$bin/cllm4rec" train submit --dataset "$dataset" --label "$1" --label live --watch \
    --set backbone.random.n_embd="$width" --set backbone.random.n_layer="$layers" --set backbone.random.n_head="$heads" \
    --set pretraining.content_epochs=0 --set pretraining.epochs=0 --set finetuning.epochs=0 --set spectral_rank=64 \
    --set evaluation.baselines=none "${@:3}" >&2
}
version() { # of a label
  "$bin/cllm4rec" --json models list | python3 -c '
import json, sys
for line in sys.stdin:
    version = json.loads(line)
    if sys.argv[1] in version["labels"]:
        print(version["name"])' "$1"
}
load() { # name, then the load generator's arguments
  local name=$1 && shift
  "$bin/cllm4rec-load" --url "${urls:-http://127.0.0.1:$port}" --dataset "data/artifacts/datasets/$dataset" "$@" |
    sed "s/^{/{\"point\":\"$name\",/"
}
rss() { awk '/VmRSS/ { print $2 * 1024 }' "/proc/$scorer_pid/status"; }
memory() { printf '{"point":"%s","bytes":%s}\n' "$1" "$(rss)"; }
share() { python3 -c 'import sys; print(round(float(sys.argv[1]) * float(sys.argv[2]), 1))' "$1" "$2"; }

for shape in $shapes; do train "shape-$shape" "$shape"; done
first=${shapes%% *}
train second "$first" --set seed=1
kill "$worker_pid"
restart_scorer second

for shape in $shapes; do
  label=shape-$shape
  printf 'label = "%s"\n' "$label" >cached.toml
  printf 'label = "%s"\n[[kinds]]\nown_history = 50\n' "$label" >long.toml
  printf 'label = "%s"\ndeadline_ms = 200\n' "$label" >overload.toml
  printf 'label = "%s"\n[[kinds]]\nfresh_history = 5\n' "$label" >fresh.toml
  printf 'label = "%s"\ndeadline_ms = 2000\n[[kinds]]\nfresh_history = 5\n' "$label" >fresh-overload.toml
  if [[ $parts == *" cached "* ]]; then
    restart_scorer "$label"
    load "$shape cached" --workload cached.toml --warm-users --rate 1000,3000,4000 --seconds "$seconds"
    memory "$shape memory before overload"
    load "$shape overload" --workload overload.toml --rate "${OVERLOAD_RATE:-6000}" --seconds "$((2 * seconds))"
    memory "$shape memory after overload"
    load "$shape cached, after" --workload cached.toml --rate 1000 --seconds 2 --warm-up 0
    load "$shape cached, 50 items" --workload long.toml --warm-users --rate 1000 --seconds "$seconds"
    restart_scorer "$label"
    load "$shape Redis-warm" --workload cached.toml --rate 1000 --warm-up 0 --seconds "$seconds"
  fi
  if [[ $parts == *" fresh "* ]]; then
    load "$shape warming" --workload cached.toml --warm-users --rate 100 --seconds 1 # for the point after the overloads
    # A seed of its own for each point: histories that nobody has had.
    best=0
    for rate in ${FRESH_RATES:-15 30 45 60 90 800 1200 1600 2000}; do
      line=$(load "$shape fresh" --workload fresh.toml --rate "$rate" --seed $RANDOM --warm-up 2 --seconds "$seconds")
      echo "$line"
      read -r goodput is_enough < <(python3 -c '
import json, sys
point = json.loads(sys.argv[1])
print(point["goodput"], int(point["goodput"] < 0.9 * point["rate"]))' "$line")
      best=$(python3 -c "print(max($best, $goodput))")
      [ "$is_enough" = 0 ] || break
    done
    load "$shape fresh, 70 %" --workload fresh.toml --rate "$(share "$best" 0.7)" --seed $RANDOM --warm-up 2 --seconds "$seconds"
    for more in "" --throttle; do
      load "$shape fresh, 10 x $more" --workload fresh-overload.toml --rate "$(share "$best" 10)" --seed $RANDOM --warm-up 2 --seconds "$((2 * seconds))" $more
    done
    load "$shape cached, after" --workload cached.toml --rate 1000 --seconds 2 --warm-up 0
    memory "$shape memory after overload"
  fi
done

label=shape-$first
printf 'label = "%s"\n' "$label" >cached.toml
one=$(version "$label") two=$(version second)
during() { # name, then what happens after three of ten seconds
  local name=$1 && shift
  load "$name" --rate "${FAULT_RATE:-1000}" --seconds 10 --warm-up 1 & local loading=$!
  sleep 4 && "$@" >&2
  wait "$loading"
}
if [[ $parts == *" faults "* ]]; then
  "$bin/cllm4rec" models label live "$one" >&2
  restart_scorer "$label"
  start_other() { SCORER__API__ADDRESS=127.0.0.1:$other_port "$bin/scorer" & other_pid=$!; }
  start_other
  ready "$label" "$other_port"
  urls=http://127.0.0.1:$port,http://127.0.0.1:$other_port
  load "two scorers, warming" --rate 200 --seconds 5 --warm-users
  during "steady" true
  during "a label moves" "$bin/cllm4rec" models label live "$two"
  during "a roll back" "$bin/cllm4rec" models label live "$one"
  during "a canary" "$bin/cllm4rec" models label canary "$two"
  "$bin/cllm4rec" models unlabel canary >&2
  drain() { kill "$other_pid" && wait "$other_pid"; }
  during "SIGTERM of one of two scorers" drain
  start_other
  during "one scorer comes back" true
  frozen() { kill -STOP "$cache_pid" && sleep 4 && kill -CONT "$cache_pid"; }
  during "the cache is frozen" frozen
  during "the cache is flushed" redis-cli -p "$cache" flushall
  during "the cache is killed" kill -9 "$cache_pid"
  during "the cache is back" start_cache
  drain
  unset urls
fi
if [[ $parts == *" soak "* ]]; then
  restart_scorer "$label"
  load "soak" --workload cached.toml --warm-users --rate "${SOAK_RATE:-2800}" --seconds "${SOAK_SECONDS:-1800}" & loading=$!
  while kill -0 "$loading" 2>/dev/null; do memory "soak, memory" && sleep 30; done
  wait "$loading"
fi
