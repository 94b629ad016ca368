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

# --- what has to be there before anything starts

need_engine() {
    [ -n "$(engine_major)" ] || fail "no Docker engine answers" "systemctl start docker"
    docker compose version >/dev/null 2>&1 ||
        fail "Docker Compose v2 is missing" "install docker-compose-plugin, or Debian's docker-compose"
}

# What runs is what was built and listed, byte for byte. Not by the engine's own id of an image: Docker
# 29's store gives another one to the same image (compose/image.format).
need_images() {
    local name id there
    [ -f build/images/images.lock ] || fail "there are no images" "make images"
    for name in edge gateway ledger engine; do
        grep -qE "^image appliance/$name sha256:[0-9a-f]{64}$" build/images/images.lock ||
            fail "appliance/$name was not built here" "make images"
    done
    while read -r name id; do
        there=$(docker image inspect --format "$(cat compose/image.format)" "$name:$tag" 2>/dev/null) ||
            fail "the image $name:$tag is missing" "make images"
        there=$(printf '%s\n' "$there" | sha256sum)
        [ "sha256:${there%% *}" = "$id" ] || fail "$name:$tag is not the image that was built here" "make images"
    done < <(sed -n -E 's/^image ([^ ]+) (sha256:[0-9a-f]+)$/\1 \2/p' build/images/images.lock)
}

# And nothing else runs, whatever an overlay names.
need_known_images() {
    local name names
    names=$(stack --profile tools config --images) ||
        fail "Compose cannot read the files of the stack" "look at what it says above"
    while read -r name; do
        if [ "${name##*:}" != "$tag" ] || ! grep -qF "image ${name%:*} sha256:" build/images/images.lock; then
            fail "$name is no image that was built here" "take it out of the Compose files, or build it"
        fi
    done <<<"$names"
}

need_sound_file() {
    # In the image, since this machine needs no Python for it.
    stack --profile tools config --format json |
        docker run --rm --interactive --network none --read-only --cap-drop ALL --pull never \
            --entrypoint python3 "appliance/gateway:$tag" \
            -P -m appliance.stack_file "${APPLIANCE_BRIDGE:-appl}" "$(realpath -m "$certificates")" ||
        fail "the Compose file opens what must stay closed" "take out what is named above"
}

# Images and files as they were built and checked; whatever starts a container calls this before.
need_what_was_built() {
    need_engine
    need_images
    need_known_images
    need_sound_file
}
