#!/usr/bin/env bash
# Resolve Coffer's dependencies anew and write constraints.txt: scripts/constraints.sh EXTRAS
#
# Nothing is installed: pip resolves into a report. Local version suffixes such as +cpu are dropped, so that the pins
# hold wherever another build of the same version is found. Coffer itself is left out.
set -euo pipefail

extras=${1:?usage: scripts/constraints.sh EXTRAS}
here=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
python=$here/.venv/bin/python
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cd "$here"

"$python" -m pip install --disable-pip-version-check --quiet \
  --dry-run --ignore-installed --report "$work/report.json" ".[$extras]"

"$python" - "$work/report.json" >"$work/constraints.txt" <<'PYTHON'
import json, re, sys

with open(sys.argv[1], encoding="utf-8") as file:
    found = [one["metadata"] for one in json.load(file)["install"]]
pins = {one["name"]: one["version"].partition("+")[0] for one in found if one["name"] != "coffer"}
# NVIDIA's libraries come with one build of torch and are missing from the others: torch pins them itself.
kept = {name: pin for name, pin in pins.items() if not re.match(r"nvidia-(?!ml-py)|cuda-|triton", name)}
print("# Pins of everything that `make demo` and `make test` install. Written by `make constraints`; do not edit by hand.")
print("# torch carries no +cpu: pip takes whichever build of this version it can find, a CPU build first if one is offered.")
for name in sorted(kept, key=str.casefold):
    print(f"{name}=={kept[name]}")
PYTHON
mv "$work/constraints.txt" constraints.txt
echo "constraints.txt holds $(grep -c == constraints.txt) pins; run make test before committing them"
