# shellcheck shell=bash
# What the scripts of this folder share: where things go, and how they fail.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/../.."

images=(ledger engine gateway edge)
# For overlays, and built when they are named.
optional=(ollama llama-server engine-cuda engine-rocm)
built=build/images
wheels=build/wheels
version=$(sed -n 's/^version = "\(.*\)"/\1/p' pyproject.toml)
# One time for everything that is built: that of the last change, so that two builds agree.
export SOURCE_DATE_EPOCH=${SOURCE_DATE_EPOCH:-$(git log -1 --format=%ct 2>/dev/null || echo 1767225600)}
# Exported, since scripts that read this file use them.
export images optional built wheels version

say() { printf '== %s\n' "$*"; }

fail() {
    printf 'error: %s\nnext: %s\n' "$1" "$2" >&2
    exit 1
}

# Prints the words of a list file: the first of each line, without comments.
words() { sed -E 's/#.*//; /^ *$/d; s/^ *([^ ]+).*/\1/' "$@"; }

# Prints what pip is to install of a wheel, by its file's name and digest: `NAME==VERSION --hash=…`.
requirement() {
    local name=${1%%-*} rest=${1#*-}
    printf '%s==%s --hash=sha256:%s\n' "${name//_/-}" "${rest%%-*}" "$2"
}
