#!/usr/bin/env bash
# Builds the images of the stack: no registry, and no network while an image is built.
#
#   1. wheels.sh      Python wheels, each checked against requirements.lock     build/wheels
#   2. rootfs.sh      root file systems from Debian packages                    appliance/*-root
#   3. docker build   one image per service, with the network off               appliance/*
#   4. contents.py    what is really in them: list, bill of materials, and what
#                     differs from compose/images.lock                          build/images
#
# Usage: build.sh [--locked|--accept] [IMAGE]...
#   --locked   refuses an image that differs from compose/images.lock; --accept makes it the lock
#   IMAGE      for overlays, beside those of every stack:
#     ollama, llama-server     as installer/peers/build.sh builds them, for processors like this one's
#     engine-cuda, engine-rocm the engine with another llama.cpp: $APPLIANCE_CUDA or $APPLIANCE_ROCM
#                              is a folder with its wheels (*.whl), libraries that are no wheels
#                              (lib/), and SHA256SUMS, which names every file of it
# shellcheck source=installer/images/contexts.sh
source "$(dirname "${BASH_SOURCE[0]}")/contexts.sh"

docker info >/dev/null 2>&1 ||
    fail "no Docker engine answers" "start it (systemctl start docker), then run make images again"

# As one stream with one time and owner for all files. A folder would be compared by size and time
# with the one of an earlier build, and a file that changed in neither be taken from there.
packed() {
    tar -C "$1" --sort=name --owner=0 --group=0 --numeric-owner --mtime="@$SOURCE_DATE_EPOCH" -c .
}

build() {
    local name=$1 root=base
    [ "$name" != edge ] || root=edge
    say "building appliance/$name"
    context "$name"
    local arguments=(--build-arg "ROOT=appliance/$root-root:$version")
    [[ $name != engine-* ]] || arguments+=(
        --build-arg "ENGINE=appliance/engine:$version" --build-arg PLACE=/opt/gpu)
    packed "$built/$name/context" |
        docker build --quiet --network none "${arguments[@]}" --tag "appliance/$name:$version" - >/dev/null
    rm -rf "$built/$name/context"
}

how=() more=()
for word in "$@"; do
    case " ${optional[*]} " in
    *" $word "*) more+=("$word") ;;
    *) how+=("$word") ;;
    esac
done
# Before anything is built, since it can take minutes, or say that it cannot be done here.
for name in "${more[@]}"; do
    [[ $name == engine-* ]] || installer/peers/build.sh "$name"
done

installer/images/wheels.sh
for root in base edge; do installer/images/rootfs.sh "$root"; done
for name in "${images[@]}" "${more[@]}"; do build "$name"; done
.venv/bin/python installer/images/contents.py "$version" "${how[@]}" "${more[@]}"
