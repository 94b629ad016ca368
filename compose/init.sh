#!/usr/bin/env bash
# Makes the state of a new stack, once, and prints the first passwords, once.
#
# It is made in memory, in a container without network that is gone afterwards. From there each
# part goes to the volume of the service that owns it, unpacked by that service's own user: so
# neither root nor any two services ever hold all of it, and no copy is left on a disk.
#
# Usage: init.sh          APPLIANCE_DEMO names the folder of the demo model; empty: none
# shellcheck source=compose/lib.sh
source "$(dirname "${BASH_SOURCE[0]}")/lib.sh"

demo=${APPLIANCE_DEMO-models/demo}
maker=
made_volumes=()

# Of a state that was made by half nothing is left, so that it can be made again.
undo() {
    local status=$?
    [ -z "$maker" ] || docker rm --force "$maker" >/dev/null 2>&1
    if [ "$status" -ne 0 ] && [ ${#made_volumes[@]} -gt 0 ]; then
        # What cannot be removed is named by the next try, which finds it.
        docker volume rm "${made_volumes[@]}" >/dev/null 2>&1 || true
    fi
}
trap undo EXIT

closed=(--network none --read-only --cap-drop ALL --security-opt no-new-privileges --pull never)

make_in_memory() {
    maker=$(docker run --detach --init "${closed[@]}" --entrypoint sleep \
        --env "APPLIANCE_SITE__NAME=${APPLIANCE_SITE:-hospital}" \
        --tmpfs /var/lib/appliance:size=1g,mode=0700,uid=10002,gid=10002 \
        --tmpfs /tmp:size=1g,mode=0700,uid=10002,gid=10002 \
        "appliance/gateway:$tag" 3600)
    if [ -n "$demo" ]; then
        tar -C "$demo" -c bundle root.sha256 | docker exec -i "$maker" sh -c 'mkdir /tmp/demo && tar -x -C /tmp/demo'
        docker exec "$maker" appliance init --demo /tmp/demo
    else
        docker exec "$maker" appliance init
    fi
}

# Folders on which something is mounted later; what is missing would be made by root, open to others.
# One in memory takes the mode of the folder below it, too.
make_mount_points() {
    docker exec "$maker" sh -c 'cd /var/lib/appliance && mkdir -p -m 0700 run tls'
}

# Gives files of the new state to a volume: give VOLUME IMAGE PLACE WHAT-TAR-IS-TO-PACK...
give() {
    local volume=${project}_$1 image=$2 place=$3
    shift 3
    docker volume create --label "com.docker.compose.project=$project" \
        --label "com.docker.compose.volume=${volume#"${project}_"}" "$volume" >/dev/null
    made_volumes+=("$volume")
    docker exec "$maker" tar -C /var/lib/appliance -c "$@" |
        docker run --rm --interactive "${closed[@]}" --entrypoint tar \
            --volume "$volume:$place" "appliance/$image:$tag" -x -p --no-overwrite-dir -C "$place"
}

say "making the state, and the first passwords"
make_in_memory
make_mount_points
# The record last: without it nothing starts.
give gateway-keys gateway /var/lib/appliance/keys -C keys .
give models gateway /var/lib/appliance/models -C models .
give gateway-state gateway /var/lib/appliance --exclude './audit*' --exclude ./keys --exclude ./models --exclude './run/*' .
mapfile -t record < <(docker exec "$maker" sh -c 'cd /var/lib/appliance && ls -d audit*')
give ledger-state ledger /var/lib/appliance "${record[@]}"
