# What the guides take for granted: programs in PATH, a service manager, addresses.
set -euo pipefail
export ETCDCTL_COMMAND_TIMEOUT=20s ETCDCTL_DIAL_TIMEOUT=10s
cd "$WORK"
mkdir -p pids logs
declare -A pid

# start NAME PROGRAM ARGS: as a service manager does.
start() {
  local name=$1
  shift
  "$@" >>"logs/$name" 2>&1 &
  pid[$name]=$!
}

# stop NAME: in good order. crash NAME: as a power cut does.
stop() { end TERM "$1"; }
crash() { end KILL "$1"; }
end() {
  kill "-$1" "${pid[$2]}"
  wait "${pid[$2]}" || true
  unset "pid[$2]"
}

# client NAME, peer NAME: a member's URLs. clients, cluster: those of several.
client() { echo "http://127.0.0.1:${CLIENT_PORT[$1]}"; }
peer() { echo "http://127.0.0.1:${PEER_PORT[$1]}"; }
clients() { local all=() n; for n in "$@"; do all+=("$(client "$n")"); done; (IFS=,; echo "${all[*]}"); }
cluster() { local all=() n; for n in "$@"; do all+=("$n=$(peer "$n")"); done; (IFS=,; echo "${all[*]}"); }

# healthy NAME...: waits until the members serve.
healthy() {
  local n tries
  for n in "$@"; do
    for ((tries = 0; ; tries++)); do
      if detcdctl --endpoints "$(client "$n")" endpoint health >/dev/null 2>&1; then break; fi
      ((tries < 300)) || { echo "$n does not serve"; tail -5 "logs/$n"; exit 1; }
      kill -0 "${pid[$n]}" || { echo "$n has ended"; tail -5 "logs/$n"; exit 1; }
      sleep 0.1
    done
  done
}

# eventually COMMAND: repeats it until it succeeds.
eventually() {
  local tries
  for ((tries = 0; tries < 200; tries++)); do
    if "$@" >logs/eventually 2>&1; then return 0; fi
    sleep 0.1
  done
  cat logs/eventually
  return 1
}

# fails COMMAND: succeeds if it does not.
fails() { if "$@"; then echo "should have failed: $*"; return 1; fi; }

finish() {
  local status=$? name
  for name in "${!pid[@]}"; do kill -KILL "${pid[$name]}" 2>/dev/null || true; done
  if [ $status -ne 0 ]; then
    for name in logs/*; do echo "== $name"; grep -v '"level":"info"' "$name" | tail -n 8 | cut -c1-400; done
  fi
  exit $status
}
trap finish EXIT
trap "exit 1" TERM INT
