#!/usr/bin/env bash
# Stops the stack, in order: an answer under way ends and is recorded. The state stays, and so do
# the firewall's rules: they cost nothing, and the next start is never without them.
#
# Usage: down.sh
# shellcheck source=compose/lib.sh
source "$(dirname "${BASH_SOURCE[0]}")/lib.sh"

need_engine
share_out
stack down --remove-orphans "$@"
