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
tests/venv.sh $venv kubernetes-validate==1.32.0
for overlay in k8s/overlays/*/; do
  rendered=target/$(basename "$overlay").yaml
  kubectl kustomize "$overlay" >"$rendered"
  $venv/bin/kubernetes-validate -k $version "$rendered"
  echo "k8s: $overlay ok, $(grep -c '^kind:' "$rendered") objects"
done
