#!/bin/sh
# Tells nginx the gateway's address, and again whenever that has changed: connections to a fixed
# address stay open from request to request, and nginx looks up a name once.
#
#   watch-gateway.sh once|FOREVER-EVERY-SECONDS NAME PORT FILE [COMMAND...]
#
# FILE is what nginx includes; COMMAND is nginx with the options it was started with. A gateway that
# came back elsewhere is found before it has started; what is under way ends where it began.
set -u

every=$1 name=$2 port=$3 file=$4
shift 4

# Nobody listens there; so the edge answers 502 until there is a gateway.
told=127.0.0.1:9

address() {
    found=$(getent ahostsv4 "$name") && echo "${found%% *}:$port"
}

# Tells one address, in one piece: nginx may read it at any moment.
tell() {
    printf 'server %s;\n' "$1" >"$file.new" && mv "$file.new" "$file"
}

told=$(address || echo "$told")
tell "$told"
[ "$every" = once ] && exit
while sleep "$every"; do
    found=$(address) || continue
    [ "$found" = "$told" ] && continue
    # What could not be told is tried again in the next round.
    if tell "$found" && "$@" -s reload; then
        told=$found
        echo "gateway: found at $told"
    else
        echo "gateway: $found could not be told" >&2
    fi
done
