#!/usr/bin/env bash
# Hands the ledger's checkpoints to this host's log, a line each, until the ledger stops.
#
# The ledger has no network and prints them; the container engine keeps what it prints. From there
# on they are the host's: what this prints goes into the host's log, where it runs as a unit
# (compose/systemd/appliance-checkpoints.service), and rsyslog carries it to the hospital's
# collector (compose/rsyslog/appliance-checkpoints.conf). No container gets a way out for it.
#
# Usage: checkpoints.sh [LINES]      whoever may call Docker; begins LINES (100) before the newest
# shellcheck source=compose/lib.sh
source "$(dirname "${BASH_SOURCE[0]}")/lib.sh"

ledger=$(docker ps --quiet --filter "label=com.docker.compose.project=$project" \
    --filter label=com.docker.compose.service=ledger)
[ -n "$ledger" ] || fail "the ledger does not run" "make up"

# A line that is handed on twice does no harm; one that came while nobody read would be missed.
# What else the ledger says is no checkpoint and stays where it is.
docker logs --follow --tail "${1:-100}" "$ledger" 2>/dev/null |
    grep --line-buffered --fixed-strings '[checkpoint@32473 '
