#!/usr/bin/env bash
# Starts the stack. Nothing is changed before everything that it needs is there.
#
#   no impact yet        the engine, the images as they were built, a certificate, the Compose file
#   changes begin        the firewall; the state, the first time; the containers
#
# Usage: up.sh          as root, for the firewall
# shellcheck source=compose/lib.sh
source "$(dirname "${BASH_SOURCE[0]}")/lib.sh"

need_certificate() {
    local how="see docs/how-to/run-the-stack.md: the site's CA, or an own one"
    if [ ! -s "$certificates/current/server.pem" ] || [ ! -s "$certificates/current/server.key" ]; then
        fail "there is no certificate for the edge in $certificates" "$how"
    fi
    # The edge takes a new one when the link leads elsewhere; a folder would stay what it is (ADR 19).
    [ -L "$certificates/current" ] || fail "$certificates/current is no link" "$how"
}

share_out
need_certificate
need_what_was_built

compose/firewall.sh load
is_initialised || compose/init.sh
say "starting the stack"
stack up --detach --no-build --remove-orphans --wait --wait-timeout 900
compose/firewall.sh check
say "https://$(hostname):${APPLIANCE_HTTPS_PORT:-443}"
