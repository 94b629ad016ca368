#!/usr/bin/env bash
# Collects every Python wheel that goes into an image, each checked against requirements.lock,
# in build/wheels; and writes for each image which of them it gets, by their digests.
#
# llama-cpp-python is published as source only: its wheel is the one that installer/environment.sh
# keeps (in wheels/, or $APPLIANCE_WHEELS, beside its SHA256SUMS). One that was built on this
# machine is for processors like this machine's.
# shellcheck source=installer/images/lib.sh
source "$(dirname "${BASH_SOURCE[0]}")/lib.sh"

kept=${APPLIANCE_WHEELS:-wheels}

pip() { .venv/bin/pip --quiet --disable-pip-version-check "$@"; }

# Prints the wheel of llama.cpp once its bytes are those that its folder's SHA256SUMS names.
llama_wheel() {
    local wheel
    for wheel in "$kept"/llama_cpp_python-*.whl "$kept"/built-*/llama_cpp_python-*.whl; do
        [ -f "$wheel" ] || continue
        (cd "$(dirname "$wheel")" && grep -F " $(basename "$wheel")" SHA256SUMS | sha256sum -c --quiet) >&2 ||
            fail "$wheel is not the file that its SHA256SUMS names" "remove it, and run make setup"
        echo "$wheel"
        return
    done
    fail "there is no wheel of llama-cpp-python in $kept" \
        "remove .venv and run make setup: it builds one and keeps it; or name its folder: APPLIANCE_WHEELS=…"
}

collect() {
    local new=$wheels.new llama
    rm -rf "$new"
    mkdir -p "$new"
    say "collecting wheels"
    awk '/^llama-cpp-python==/ { skip = 1; next } /^[^ ]/ { skip = 0 } !skip' requirements.lock >"$new.lock"
    pip download --require-hashes --only-binary :all: --dest "$new" -r "$new.lock"
    llama=$(llama_wheel)
    cp "$llama" "$new/"
    build_ours "$new"
    (cd "$new" && sha256sum -- *.whl >SHA256SUMS)
    rm -rf "$wheels"
    mv "$new" "$wheels"
    rm -f "$new.lock"
}

# Reads no network: its one tool is in the set that `make setup` prepared. From a copy, since
# setuptools would put what an earlier build left in build/lib into the wheel too.
build_ours() {
    local source
    source=$(mktemp -d)
    cp -r appliance pyproject.toml README.md LICENSE "$source/"
    find "$source" -name __pycache__ -type d -exec rm -rf {} +
    PYTHONPATH=$PWD/.venv/.build pip wheel --no-build-isolation --no-deps --no-index \
        --wheel-dir "$1" "$source"
    rm -rf "$source"
}

# Prints `NAME==VERSION --hash=sha256:…` for each wheel that an image gets.
requirements_of() {
    local digest file left_out=()
    [ ! -f "compose/$1/leaves-out.txt" ] || mapfile -t left_out < <(words "compose/$1/leaves-out.txt")
    while read -r digest file; do
        local name=${file%%-*}
        [[ " ${left_out[*]} " == *" ${name//_/-} "* ]] || requirement "$file" "$digest"
    done <"$wheels/SHA256SUMS"
}

collect
for name in ledger engine gateway; do
    mkdir -p "$built/$name"
    requirements_of "$name" >"$built/$name/requirements.txt"
done
