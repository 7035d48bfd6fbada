#!/usr/bin/env bash
# Walks the console with a headless Chromium; installs what it needs where it may. Screenshots are in target/screenshots.
set -euo pipefail
cd "$(dirname "$0")/.."

if ! command -v chromium >/dev/null; then
  if [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null; then
    apt-get install -y -qq chromium >/dev/null || { apt-get update -qq && apt-get install -y -qq chromium >/dev/null; }
  else
    echo "the console is walked by Chromium: install it (Debian's package is \`chromium\`)" >&2
    exit 1
  fi
fi
environment=target/console-venv
tests/venv.sh $environment playwright==1.65.2 axe-playwright-python==0.1.8
rm -rf target/screenshots
$environment/bin/python tests/python/console.py --chromium "$(command -v chromium)" "$@"
