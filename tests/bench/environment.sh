#!/usr/bin/env bash
# Builds build/bench/venv, in which peers written in Python run: LiteLLM's proxy, llama_cpp.server.
# Safe to run again; does nothing when the lock file has not changed.
#
# llama.cpp itself is copied from .venv, byte for byte: the peer then computes with the very library
# that our engine computes with, and nothing is compiled a second time.
set -euo pipefail
cd "$(dirname "$0")/../.."

lock=requirements-bench.lock
venv=build/bench/venv

cmp -s "$lock" "$venv/.lock" && exit 0
[ -x .venv/bin/python ] || {
    printf 'error: there is no .venv\nnext: run make setup-dev, then this again\n' >&2
    exit 1
}
echo "building $venv for the peers written in Python: about a minute, once"
rm -rf "$venv"
mkdir -p "$(dirname "$venv")"
.venv/bin/python -m venv "$venv"

site() {
    "$1/bin/python" -c 'import sysconfig; print(sysconfig.get_path("purelib"))'
}
cp -r "$(site .venv)"/llama_cpp "$(site .venv)"/llama_cpp_python-*.dist-info "$(site "$venv")/"
"$venv/bin/pip" --quiet --disable-pip-version-check install \
    --require-hashes --only-binary :all: -r "$lock"
cp "$lock" "$venv/.lock"
