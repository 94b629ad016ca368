#!/usr/bin/env bash
# Makes the root file system of an image from Debian 12 packages and imports it: no registry.
# The packages come from where this machine's own apt gets them, and are verified by its keys.
# Nothing of that place, and no apt, is left in the image; dpkg's list of packages stays, for the
# software bill of materials.
#
# Usage: rootfs.sh base|edge
# shellcheck source=installer/images/lib.sh
source "$(dirname "${BASH_SOURCE[0]}")/lib.sh"

name=${1:?usage: rootfs.sh base|edge}
tar=$built/$name.tar
lists=(compose/base/packages.txt)
[ "$name" = base ] || lists+=("compose/$name/packages.txt")

command -v mmdebstrap >/dev/null ||
    fail "mmdebstrap is missing" "apt-get install mmdebstrap, then run make images again"

# Prints what decides the content; the same text means the tar can be used again.
# A day old at most: security updates must find their way in.
recipe() {
    cat installer/images/rootfs.sh "${lists[@]}" compose/base/users.txt
    date -u +%F
}

sources() {
    local found=()
    mapfile -t found < <(find /etc/apt/sources.list /etc/apt/sources.list.d \
        -name '*.list' -o -name '*.sources' 2>/dev/null | sort)
    printf '%s\n' "${found[@]}" | xargs -r grep -l bookworm ||
        fail "no apt source of Debian 12 (bookworm) was found in /etc/apt" \
            "build on Debian 12, or add one"
}

# Prints the commands that finish the tree; $1 in them is its root.
finish() {
    local user id
    while read -r user id; do
        echo "echo '$user:x:$id:$id::/nonexistent:/usr/sbin/nologin' >>\"\$1/etc/passwd\""
        echo "echo '$user:x:$id:' >>\"\$1/etc/group\""
    done < <(sed -E 's/#.*//; /^ *$/d' compose/base/users.txt)
    # shellcheck disable=SC2016  # $1 is an argument of the script that is written here
    {
        # Nobody becomes anybody else in here, so no program needs that right.
        echo 'find "$1" -xdev -type f -perm /6000 -exec chmod a-s {} +'
        echo 'rm -rf "$1"/etc/apt/sources.list* "$1"/etc/apt/auth.conf* "$1"/var/log/* "$1"/var/lib/dpkg/*-old'
        echo 'rm -f "$1"/etc/resolv.conf "$1"/etc/hostname "$1"/etc/machine-id'
        echo 'find "$1/usr" -name __pycache__ -type d -exec rm -rf {} +'
    }
}

mkdir -p "$built"
if [ -f "$tar" ] && recipe | cmp -s - "$tar.recipe"; then
    say "the root file system of $name is of today"
else
    say "making the root file system of $name from Debian packages: a minute or two"
    packages=$(words "${lists[@]}" | paste -sd,)
    finish >"$built/$name.finish"
    mapfile -t sources < <(sources)
    mmdebstrap --quiet --format=tar --variant=essential --include="$packages" \
        --dpkgopt='path-exclude=/usr/share/man/*' --dpkgopt='path-exclude=/usr/share/locale/*' \
        --dpkgopt='path-exclude=/usr/share/doc/*' --dpkgopt='path-include=/usr/share/doc/*/copyright' \
        --customize-hook="sh -e $PWD/$built/$name.finish \"\$1\"" \
        bookworm "$tar.new" "${sources[@]}"
    mv "$tar.new" "$tar"
    recipe >"$tar.recipe"
fi
docker import --change 'ENV PATH=/usr/sbin:/usr/bin:/sbin:/bin' "$tar" "appliance/$name-root:$version" >/dev/null
