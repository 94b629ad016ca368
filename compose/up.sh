#!/usr/bin/env bash
# Starts the stack. Nothing is changed before everything that it needs is there.
#
#   no impact yet        the engine, the images as they were built, a certificate, the Compose file
#   changes begin        the firewall; the state, the first time; the containers
#
# Usage: up.sh          as root, for the firewall
# shellcheck source=compose/lib.sh
source "$(dirname "${BASH_SOURCE[0]}")/lib.sh"

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
    while read -r name id; do
        there=$(docker image inspect --format "$(cat compose/image.format)" "$name:$tag" 2>/dev/null) ||
            fail "the image $name:$tag is missing" "make images"
        there=$(printf '%s\n' "$there" | sha256sum)
        [ "sha256:${there%% *}" = "$id" ] || fail "$name:$tag is not the image that was built here" "make images"
    done < <(sed -n -E 's/^image ([^ ]+) (sha256:[0-9a-f]+)$/\1 \2/p' build/images/images.lock)
}

# And nothing else runs, whatever an overlay names.
need_known_images() {
    local name
    while read -r name; do
        if [ "${name##*:}" != "$tag" ] || ! grep -qF "image ${name%:*} sha256:" build/images/images.lock; then
            fail "$name is no image that was built here" "take it out of the Compose files, or build it"
        fi
    done < <(stack --profile tools config --images)
}

need_certificate() {
    [ -e "$certificates/current/server.pem" ] ||
        fail "there is no certificate for the edge in $certificates" \
            "see docs/how-to/run-the-stack.md: the site's CA, or an own one"
}

need_sound_file() {
    # In the image, since this machine needs no Python for it.
    stack --profile tools config --format json |
        docker run --rm --interactive --network none --read-only --cap-drop ALL --pull never \
            --entrypoint python3 "appliance/gateway:$tag" -P -m appliance.stack_file ||
        fail "the Compose file opens what must stay closed" "take out what is named above"
}

need_engine
need_images
need_certificate
share_out
need_known_images
need_sound_file

compose/firewall.sh load
is_initialised || compose/init.sh
say "starting the stack"
stack up --detach --no-build --remove-orphans --wait --wait-timeout 900
compose/firewall.sh check
say "https://$(hostname):${APPLIANCE_HTTPS_PORT:-443}"
