#!/usr/bin/env bash
# Exports jobs to TensorBoard and to a real MLflow server, and reads them back with their own packages.
set -euo pipefail
cd "$(dirname "$0")/.."

environment=target/tracking-venv
tests/venv.sh $environment mlflow==3.17.2 tensorboard==2.21.0
$environment/bin/python tests/python/tracking.py "$@"
