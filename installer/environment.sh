#!/usr/bin/env bash
# Builds .venv from lock files in which every package, and every tool that builds one, is pinned
# by its SHA-256. Safe to run again.
#
# llama-cpp-python is published as source only. A wheel of it in wheels/ is used when its digest
# stands in wheels/SHA256SUMS. Otherwise it is built here, for this machine's CPU, and kept in
# wheels/built-<machine>/ with its digest, so that the next environment takes seconds.
set -euo pipefail
cd "$(dirname "$0")/.."

lock=${1:?usage: environment.sh LOCK_FILE}
build_lock=requirements-build.lock
build_set=$PWD/.venv/.build
wheels=${APPLIANCE_WHEELS:-wheels}
llama=$(sed -n 's/^llama-cpp-python==\([^ ]*\).*/\1/p' requirements.lock)

fail() {
    printf 'error: %s\nnext: %s\n' "$1" "$2" >&2
    exit 1
}

find_python() {
    local candidate
    for candidate in ${PYTHON:-} python3 python3.13 python3.12 python3.11; do
        if "$candidate" -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null; then
            echo "$candidate"
            return
        fi
    done
    fail "no Python 3.11 or newer was found" \
        "install it, or name one: PYTHON=/path/to/python3 make setup"
}

make_environment() {
    local python
    .venv/bin/pip --version >/dev/null 2>&1 && return # it also fails in a folder that was moved
    python=$(find_python)
    "$python" -c 'import ensurepip, venv' 2>/dev/null ||
        fail "this Python cannot make environments" \
            "apt-get install python3-venv, then run make again"
    rm -rf .venv
    "$python" -m venv .venv
}

pip() {
    .venv/bin/pip --quiet --disable-pip-version-check "$@"
}

# The tools that build, beside the environment and not in it: nothing at run time needs them.
prepare_build_set() {
    cmp -s "$build_lock" "$build_set/.lock" && return
    rm -rf "$build_set"
    pip install --require-hashes --only-binary :all: --target "$build_set" -r "$build_lock"
    cp "$build_lock" "$build_set/.lock"
}

pip_with_build_set() {
    PYTHONPATH=$build_set PATH=$build_set/bin:$PATH pip "$@"
}

has_llama() {
    .venv/bin/python -c "import importlib.metadata as m, sys
sys.exit(m.version('llama-cpp-python') != '$llama')" 2>/dev/null
}

# Names what a wheel built here may serve. With another CPU it would die of an illegal
# instruction, with an older C library it would not load.
this_machine() {
    {
        uname -m
        getconf GNU_LIBC_VERSION
        grep -m 1 -E '^(flags|Features)' /proc/cpuinfo || true
    } | sha256sum | cut -c -12
}

# Prints the wheel of a folder once its bytes are those that the folder's SHA256SUMS names.
checked_wheel() {
    local folder=$1 wheel name digest
    for wheel in "$folder/llama_cpp_python-$llama-"*"_$(uname -m).whl"; do
        [ -f "$wheel" ] || continue
        name=${wheel##*/}
        digest=$(awk -v name="$name" '$2 == name || $2 == "*" name { print $1 }' \
            "$folder/SHA256SUMS" 2>/dev/null || true)
        [ -n "$digest" ] ||
            fail "no digest of $wheel stands in $folder/SHA256SUMS, so it was not installed" \
                "if you built it: (cd $folder && sha256sum $name >>SHA256SUMS); or remove it"
        [ "$(sha256sum <"$wheel")" = "$digest  -" ] ||
            fail "$wheel is not the file that $folder/SHA256SUMS names; it was not installed" \
                "remove it and run make again, or get it anew"
        echo "$wheel"
        return
    done
}

build_llama() {
    local folder=$1
    if ! command -v cc || ! command -v c++; then
        fail "no C and C++ compiler was found" "apt-get install g++, then run make again"
    fi >/dev/null
    echo "building llama.cpp for this machine's CPU: about 5 minutes on two cores, once"
    prepare_build_set
    sed -n '/^llama-cpp-python==/,/^[^ ]/{/^llama-cpp-python==/p;/^ *--hash/p}' requirements.lock |
        sed '$ s/ *\\$//' >.venv/llama.lock
    rm -rf .venv/.wheel
    # Without the cache: a wheel that pip kept may be of another machine.
    pip_with_build_set wheel --no-cache-dir --no-build-isolation --no-deps --require-hashes \
        --wheel-dir .venv/.wheel -r .venv/llama.lock
    mkdir -p "$folder"
    (cd .venv/.wheel && sha256sum ./*.whl | sed 's|\./||') >"$folder/SHA256SUMS"
    mv .venv/.wheel/*.whl "$folder/"
    echo "kept the wheel in $folder, so that the next environment on this machine is quick"
}

install_llama() {
    local built wheel
    has_llama && return
    built=$wheels/built-$(this_machine)
    wheel=$(checked_wheel "$wheels")
    [ -n "$wheel" ] || wheel=$(checked_wheel "$built")
    if [ -z "$wheel" ]; then
        build_llama "$built"
        wheel=$(checked_wheel "$built")
    fi
    echo "installing $wheel"
    pip install --no-deps "$wheel"
}

check_llama() {
    local reason
    reason=$(.venv/bin/python -c 'import llama_cpp' 2>&1) ||
        fail "llama.cpp does not load on this machine: ${reason##*$'\n'}" \
            "if libgomp is missing: apt-get install libgomp1; else remove .venv and wheels, run make again"
}

make_environment
install_llama
echo "installing the packages of $lock"
pip install --require-hashes --only-binary :all: -r "$lock"
prepare_build_set
pip_with_build_set install --no-build-isolation --no-deps --editable .
check_llama
