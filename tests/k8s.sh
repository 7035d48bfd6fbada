#!/usr/bin/env bash
# Renders every overlay and validates it against the Kubernetes schemas.
set -euo pipefail
cd "$(dirname "$0")/.."

version=1.32
if ! kubectl version --client >/dev/null 2>&1; then
  echo "k8s: SKIPPED, no kubectl on this machine (1.27 or later is needed)"
  exit 0
fi
venv=target/k8s-venv
[ -x $venv/bin/kubernetes-validate ] || { python3 -m venv $venv && $venv/bin/pip install -q kubernetes-validate==1.32.0; }
for overlay in k8s/overlays/*/; do
  rendered=target/$(basename "$overlay").yaml
  kubectl kustomize "$overlay" >"$rendered"
  $venv/bin/kubernetes-validate -k $version "$rendered"
  echo "k8s: $overlay ok, $(grep -c '^kind:' "$rendered") objects"
done
