#!/usr/bin/env bash
# Fuzz every parser of foreign bytes, one after the other: scripts/fuzz.sh [NAME...]
#
# Nothing but our own errors may escape, within two seconds and two gigabytes. What breaks that is written to
# build/fuzz/NAME/, and the exit status is 1. The corpora there are kept, so that a later run goes on where this one ended.
#
#   FUZZ_SECONDS  for each parser (default: 600)
#   PYTHON        interpreter with the `fuzz` extra installed (default: .venv/bin/python)
set -euo pipefail

here=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
python=${PYTHON:-$here/.venv/bin/python}
seconds=${FUZZ_SECONDS:-600}
found=$here/build/fuzz
cd "$here"

if ! "$python" -c 'import atheris' 2>/dev/null; then
  echo "fuzzing needs atheris; install it with: make install EXTRAS='owner,server,cpu,tee,tui,web,dev,fuzz'" >&2
  exit 69
fi

mapfile -t known < <("$python" -c 'from fuzz.targets import NAMES; print(*NAMES, sep="\n")')
names=("$@")
if [[ $# -eq 0 ]]; then
  names=("${known[@]}")
fi
for name in "${names[@]}"; do
  if [[ " ${known[*]} " != *" $name "* ]]; then
    echo "there is no target $name; there are: ${known[*]}" >&2
    exit 64
  fi
done

failed=()
for name in "${names[@]}"; do
  mkdir -p "$found/$name"
  echo "== $name, $seconds s" >&2
  "$python" -m fuzz "$name" "$found/$name/corpus" "-max_total_time=$seconds" "-artifact_prefix=$found/$name/" \
    -print_final_stats=1 -verbosity=1 || failed+=("$name")
done

if [[ ${#failed[@]} -gt 0 ]]; then
  echo "found something in: ${failed[*]}; see build/fuzz/NAME/ for the inputs" >&2
  exit 1
fi
