# shellcheck shell=bash
# What the scripts of the stack share: which files and settings Compose gets, and how they fail.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

project=${APPLIANCE_PROJECT:-appliance}
tag=${APPLIANCE_TAG:-$(sed -n 's/^version = "\(.*\)"/\1/p' pyproject.toml)}
certificates=${APPLIANCE_TLS:-/etc/appliance/tls}
export APPLIANCE_TAG=$tag project certificates

say() { printf '== %s\n' "$*" >&2; }

fail() {
    printf 'error: %s\nnext: %s\n' "$1" "$2" >&2
    exit 1
}

# What the machine has decides how much the engine gets, unless somebody has decided.
share_out() {
    local kilobytes
    kilobytes=$(awk '/^MemTotal:/ { print $2 }' /proc/meminfo)
    export APPLIANCE_ENGINE_MEMORY=${APPLIANCE_ENGINE_MEMORY:-$((kilobytes * 6 / 10240))m}
    local cpus
    cpus=$(nproc)
    export APPLIANCE_ENGINE_CPUS=${APPLIANCE_ENGINE_CPUS:-$cpus}
    # A limit above what there is would be refused by Docker.
    local most=$((cpus < 2 ? cpus : 2))
    export APPLIANCE_EDGE_CPUS=${APPLIANCE_EDGE_CPUS:-$most}
    export APPLIANCE_GATEWAY_CPUS=${APPLIANCE_GATEWAY_CPUS:-$most}
    export APPLIANCE_LEDGER_CPUS=${APPLIANCE_LEDGER_CPUS:-$most}
}

engine_major() {
    docker version --format '{{.Server.Version}}' 2>/dev/null | cut -d. -f1
}

# Calls Compose with the files that fit this engine; APPLIANCE_OVERLAYS names further ones.
stack() {
    local files=(-f compose/compose.yaml) overlay
    [ "$(engine_major)" -lt 28 ] || files+=(-f compose/isolated.yaml)
    for overlay in ${APPLIANCE_OVERLAYS:-}; do files+=(-f "$overlay"); done
    docker compose -p "$project" "${files[@]}" "$@"
}

is_initialised() {
    docker volume inspect "${project}_ledger-state" >/dev/null 2>&1
}
