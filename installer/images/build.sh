#!/usr/bin/env bash
# Builds the images of the stack: no registry, and no network while an image is built.
#
#   1. wheels.sh      Python wheels, each checked against requirements.lock     build/wheels
#   2. rootfs.sh      root file systems from Debian packages                    appliance/*-root
#   3. docker build   one image per service, with the network off               appliance/*
#   4. contents.py    what is really in them: list, bill of materials, and what
#                     differs from compose/images.lock                          build/images
#
# Usage: build.sh [--locked]      --locked refuses an image that differs from compose/images.lock
# shellcheck source=installer/images/lib.sh
source "$(dirname "${BASH_SOURCE[0]}")/lib.sh"

docker info >/dev/null 2>&1 ||
    fail "no Docker engine answers" "start it (systemctl start docker), then run make images again"

# Puts together what one image may see of this folder, and nothing else.
context() {
    local name=$1 folder=$built/$1/context digest file
    rm -rf "$folder"
    mkdir -p "$folder/wheels"
    cp compose/base/healthy.py "$folder/"
    if [ "$name" = edge ]; then
        cp compose/edge/{nginx.conf,start.sh,watch-certificate.sh} "$folder/"
        return
    fi
    cp compose/base/appliance.sh "$built/$name/requirements.txt" "$folder/"
    cp -r .venv/lib/python3.*/site-packages/pip "$folder/pip"
    while read -r digest file; do
        ! grep -q "sha256:$digest" "$folder/requirements.txt" || cp "$wheels/$file" "$folder/wheels/"
    done <"$wheels/SHA256SUMS"
}

# As one stream with one time and owner for all files. A folder would be compared by size and time
# with the one of an earlier build, and a file that changed in neither be taken from there.
packed() {
    tar -C "$1" --sort=name --owner=0 --group=0 --numeric-owner --mtime="@$SOURCE_DATE_EPOCH" -c .
}

build() {
    local name=$1 root=base
    [ "$name" != edge ] || root=edge
    context "$name"
    say "building appliance/$name"
    cp "compose/$name/Dockerfile" "$built/$name/context/"
    packed "$built/$name/context" |
        docker build --quiet --network none --build-arg "ROOT=appliance/$root-root:$version" \
            --tag "appliance/$name:$version" - >/dev/null
    rm -rf "$built/$name/context"
}

installer/images/wheels.sh
for root in base edge; do installer/images/rootfs.sh "$root"; done
for name in "${images[@]}"; do build "$name"; done
.venv/bin/python installer/images/contents.py "$version" "$@"
