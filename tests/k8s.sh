#!/usr/bin/env bash
# Renders every overlay and validates it against the Kubernetes schemas.
set -euo pipefail
cd "$(dirname "$0")/.."

version=1.32
minor=$(kubectl version --client -o json 2>/dev/null | sed -n 's/.*"minor": "\([0-9]*\).*/\1/p' | head -1)
if [ "${minor:-0}" -lt 27 ]; then
  echo "k8s: SKIPPED, kubectl 1.27 or later is needed, found ${minor:+1.}${minor:-none}"
  exit 0
fi
venv=target/k8s-venv
if [ ! -x $venv/bin/kubernetes-validate ]; then
  if ! python3 -m venv $venv; then
    # Debian's own Python comes without venv.
    [ "$(id -u)" = 0 ] || { echo "k8s: install python3-venv" >&2; exit 1; }
    apt-get update -qq && apt-get install -y -qq python3-venv
    python3 -m venv $venv
  fi
  $venv/bin/pip install -q kubernetes-validate==1.32.0
fi
for overlay in k8s/overlays/*/; do
  rendered=target/$(basename "$overlay").yaml
  kubectl kustomize "$overlay" >"$rendered"
  $venv/bin/kubernetes-validate -k $version "$rendered"
  echo "k8s: $overlay ok, $(grep -c '^kind:' "$rendered") objects"
done
