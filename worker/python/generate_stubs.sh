#!/bin/sh
# Writes skiplease/v1 anew from proto/. With --check: changes nothing, exits 1 when what is checked in is not current.
set -eu
cd "$(dirname "$0")"
python="${PYTHON:-.venv/bin/python}"
target=.
if [ "${1:-}" = --check ]; then
  target=$(mktemp -d)
  trap 'rm -rf "$target"' EXIT
fi
"$python" -m grpc_tools.protoc -I ../../proto --python_out="$target" --pyi_out="$target" --grpc_python_out="$target" \
  skiplease/v1/job.proto skiplease/v1/job_service.proto skiplease/v1/worker_service.proto
# job.proto has no service: what the plugin writes for it is empty.
rm "$target/skiplease/v1/job_pb2_grpc.py"
if [ "$target" != . ]; then
  diff -r --exclude=__pycache__ --exclude=__init__.py "$target/skiplease/v1" skiplease/v1 ||
    { echo 'skiplease/v1 is not what proto/ says: run ./generate_stubs.sh' >&2; exit 1; }
fi
