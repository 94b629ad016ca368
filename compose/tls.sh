#!/usr/bin/env bash
# `appliance tls …` for the stack, in a container of its own without network, as the gateway's user:
# the running gateway has no use for the edge's key. The edge takes what is put in place by itself.
#
# Works before the first `make up` too, which asks for a certificate: the state is then made here, and
# the ledger started, since every change of the certificate is recorded.
#
# Usage: [APPLIANCE_STICK=/media/stick] tls.sh show|request|install|renew…
#        the stick is found under the same path inside
# shellcheck source=compose/lib.sh
source "$(dirname "${BASH_SOURCE[0]}")/lib.sh"

stick=()
[ -z "${APPLIANCE_STICK:-}" ] || stick=(--volume "$APPLIANCE_STICK:$APPLIANCE_STICK")
share_out
need_what_was_built
# The gateway's user writes, the edge's group reads, nobody else enters.
[ -d "$certificates" ] || install -d -o 10002 -g 10000 -m 2750 "$certificates"
is_initialised || compose/init.sh
stack up --detach --no-build --wait --wait-timeout 900 ledger
stack --profile tools run --rm --no-deps "${stick[@]}" tls "$@"
