#!/usr/bin/env bash
# Fail if the committed gRPC code is not what proto/ generates. With --write, write it instead.
set -euo pipefail

here=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
python=$here/.venv/bin/python
packages=(vault enclave)
cd "$here"

generate() {
  "$python" -m grpc_tools.protoc -I proto --python_out="$1" --pyi_out="$1" --grpc_python_out="$1" proto/*/v1/*.proto
}

if [[ ${1:-} == --write ]]; then
  rm -f vault/v1/*_pb2* enclave/v1/*_pb2*
  generate .
  exit
fi

fresh=$(mktemp -d)
trap 'rm -rf "$fresh"' EXIT
generate "$fresh"
for package in "${packages[@]}"; do
  if ! diff -r --brief --exclude=__init__.py --exclude=__pycache__ "$fresh/$package/v1" "$package/v1"; then
    echo "the generated code of $package/v1 is not what proto/ says; run: make proto" >&2
    exit 1
  fi
done
echo "generated code is what proto/ says"
