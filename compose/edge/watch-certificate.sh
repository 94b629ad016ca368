#!/bin/sh
# Has nginx take a new certificate by itself: looks every few seconds where `current` leads, and
# reloads nginx when that has changed. A reload cuts nothing: new connections get the new
# certificate, and what is under way ends with the old one.
#
#   watch-certificate.sh FOLDER SECONDS COMMAND...
#
# FOLDER is the state folder's `tls`; COMMAND is nginx with the options it was started with.
# A link is looked at, and not the kernel asked to tell: that works on every kind of mount.
set -u

link=$1/current
every=$2
shift 2

taken=$(readlink "$link")
while sleep "$every"; do
    found=$(readlink "$link") || continue
    [ "$found" = "$taken" ] && continue
    # nginx reads the files one after the other. When the link moves meanwhile it may find two
    # that do not fit; it then keeps what it has, and the next round tries again.
    if "$@" -t -q && "$@" -s reload; then
        [ "$(readlink "$link")" = "$found" ] && taken=$found
        echo "certificate: took $found"
    else
        echo "certificate: $found was not taken; the one before is still in use" >&2
    fi
done
