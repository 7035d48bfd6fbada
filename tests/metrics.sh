#!/usr/bin/env bash
# Lets Debian's Prometheus scrape `cllm4rec up` while a model is trained and asked; installs what it needs where it may.
set -euo pipefail
cd "$(dirname "$0")/.."

if ! command -v prometheus >/dev/null; then
  if [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null; then
    install="apt-get install -y -qq --no-install-recommends prometheus"
    $install >/dev/null || { apt-get update -qq && $install >/dev/null; }
  else
    echo "metrics are scraped by a Prometheus: install it (Debian's package is \`prometheus\`)" >&2
    exit 1
  fi
fi
promtool check rules k8s/monitoring/rules.yaml
promtool test rules k8s/monitoring/rules.test.yaml
exec python3 tests/python/metrics.py "$@"
