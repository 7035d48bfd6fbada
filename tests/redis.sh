#!/usr/bin/env bash
# Installs a Redis where there is none and root may; the end-to-end tests and `make chaos` start their own from it.
set -euo pipefail

if ! command -v redis-server >/dev/null; then
  if [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null; then
    apt-get update -qq
    apt-get install -y -qq redis-server
  else
    echo "the tests need redis-server (7 or later) on the PATH: install it, or run this as root on Debian or Ubuntu" >&2
    exit 1
  fi
fi
