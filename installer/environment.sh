#!/usr/bin/env bash
# Builds .venv from a lock file in which every package is pinned by its SHA-256.
# Safe to run again. Uses a prebuilt llama-cpp-python wheel from wheels/ when one is there.
set -euo pipefail

lock=${1:?usage: environment.sh LOCK_FILE}
wheels=${APPLIANCE_WHEELS:-wheels}
llama=$(sed -n 's/^\(llama-cpp-python==[^ ]*\).*/\1/p' requirements.lock)

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
    fail "no Python 3.11 or newer was found" "install it, or name one: PYTHON=/path/to/python3 make setup"
}

make_environment() {
    local python
    [ -x .venv/bin/pip ] && return
    python=$(find_python)
    "$python" -c 'import ensurepip, venv' 2>/dev/null ||
        fail "this Python cannot make environments" "apt-get install python3-venv, then run make again"
    rm -rf .venv
    "$python" -m venv .venv
}

pip() {
    .venv/bin/pip --quiet --disable-pip-version-check "$@"
}

has_llama() {
    .venv/bin/python -c "import importlib.metadata as m, sys
sys.exit(m.version('llama-cpp-python') != '${llama#*==}')" 2>/dev/null
}

install_llama() {
    local wheel
    has_llama && return
    wheel=$(find "$wheels" -maxdepth 1 -name "llama_cpp_python-${llama#*==}-*.whl" 2>/dev/null | head -n 1)
    if [ -n "$wheel" ]; then
        echo "installing $wheel"
        pip install --no-deps "$wheel"
        return
    fi
    command -v c++ >/dev/null ||
        fail "no C++ compiler was found" "apt-get install g++, then run make again"
    echo "building llama.cpp for this machine's CPU: about 5 minutes on two cores, once"
    sed -n "/^llama-cpp-python==/,/^[^ ]/{/^llama-cpp-python==/p;/^ *--hash/p}" requirements.lock |
        sed '$ s/ *\\$//' >.venv/llama.lock
    pip install --no-deps --require-hashes -r .venv/llama.lock
}

make_environment
install_llama
echo "installing the packages of $lock"
pip install --require-hashes -r "$lock"
pip install --no-deps --editable .
