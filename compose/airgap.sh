#!/usr/bin/env bash
# Looks for a way out from every container and from this host, and has the record hold each report.
#
# Gateway and ledger reach the record themselves. What the others see is printed by them and taken
# in by the gateway. The edge's image has no such program, and the host need not have it: there the
# gateway's image looks, in their network and among their processes, without any rights.
#
# Usage: airgap.sh          as root; exit 1 when anything is open, 0 when nothing is
#        Run it daily: the gateway looks by itself each day, and at nobody but itself.
# shellcheck source=compose/lib.sh
source "$(dirname "${BASH_SOURCE[0]}")/lib.sh"

# The parts in which a way out was found, or which could not be looked at: that counts as one.
open=()
# No state folder: whoever stands in for another part has none of ours.
closed=(--rm --read-only --cap-drop ALL --security-opt no-new-privileges --pull never
    --env APPLIANCE_STATE=/nonexistent)
image=appliance/gateway:$tag

# Prints the container of a service that runs, whatever overlays are named now.
container() {
    docker ps --quiet --filter "label=com.docker.compose.project=$project" \
        --filter "label=com.docker.compose.service=$1"
}

look() { # SERVICE
    say "$1"
    stack exec -T "$1" appliance doctor --airgap --role "$1" || open+=("$1")
}

# Takes a report from standard input into the record, and shows it. Fails where something is open,
# and where nothing was reported. In a pipe, so it cannot note by itself which part that was.
collect() {
    stack exec -T gateway appliance doctor --airgap --collect -
}

# Looks with the gateway's image, standing where another part stands:
# give ROLE OPTIONS-OF-DOCKER... -- OPTIONS-OF-DOCTOR...
look_from_outside() {
    local role=$1 place=()
    shift
    while [ "$1" != -- ]; do
        place+=("$1")
        shift
    done
    shift
    say "$role"
    # It exits 1 when something is open, and the report says what; without a report `collect` fails.
    { docker run "${closed[@]}" "${place[@]}" "$image" doctor --airgap --role "$role" "$@" --out - || true; } |
        collect || open+=("$role")
}

edge=$(stack ps --quiet edge)
[ -n "$edge" ] || fail "the stack does not run" "make up"

look gateway
look ledger
engines=0
if [ -n "$(container engine)" ]; then
    engines=1
    say "engine"
    # Its exit status says what the report says; without a report `collect` fails.
    { stack exec -T engine appliance doctor --airgap --role engine --out - || true; } | collect ||
        open+=(engine)
fi
# Engines of others have no such program; an overlay starts one of them instead of ours.
for other in ollama:10004 llama-server:10005; do
    id=$(container "${other%:*}")
    [ -n "$id" ] || continue
    engines=1
    look_from_outside "${other%:*}" --network "container:$id" --pid "container:$id" \
        --user "${other#*:}:${other#*:}" -- --pid 1
done
[ "$engines" -eq 1 ] || open+=(engine)
look_from_outside edge --network "container:$edge" --pid "container:$edge" --user 10000:10000 -- --pid 1
# No capability is needed to see a host's routes, ports and what it publishes.
look_from_outside host --network host --pid host --user 10002:10002 --

compose/firewall.sh check || open+=(firewall)
[ ${#open[@]} -eq 0 ] ||
    fail "there may be a way out: ${open[*]}" "read what stands above, part by part"
say "no way out was found; the record holds the reports"
