#!/usr/bin/env bash
# Builds the servers of others that tests and benchmarks compare with, into build/peers/bin:
#
#   llama-server, llama-batched-bench  from the llama.cpp inside llama-cpp-python's source package,
#                                      over the very libraries that .venv holds: same kernels
#   ollama                             from its Go module, for this machine's CPU
#
# Everything is pinned: the source package by its SHA-256 in requirements.lock, Go modules by Go's
# checksum database. Safe to run again; takes seconds when all is there. Nothing that a hospital
# installs is made here.
#
# usage: build.sh [llama-server|ollama]...   both without a name
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/../.."

ollama=v0.12.11
peers=$PWD/build/peers
bin=$peers/bin
source=$peers/llama.cpp
tools=$PWD/.venv/.build # cmake, ninja and scikit-build-core, pinned in requirements-build.lock
llama=$(sed -n 's/^llama-cpp-python==\([^ ]*\).*/\1/p' requirements.lock)
digest=$(sed -n '/^llama-cpp-python==/,/sha256/s/.*--hash=sha256:\([0-9a-f]*\).*/\1/p' requirements.lock)

fail() {
    printf 'error: %s\nnext: %s\n' "$1" "$2" >&2
    exit 1
}

# Tells whether a program was built from what is pinned now, and starts.
is_there() {
    [ "$(cat "$bin/.$1" 2>/dev/null)" = "$2" ] && "$bin/$1" --version >/dev/null 2>&1
}

get_source() {
    [ "$(cat "$source/.digest" 2>/dev/null)" = "$digest" ] && return
    [ -x "$tools/bin/cmake" ] || fail "there is no $tools" "run make setup first"
    rm -rf "$peers/download" "$source"
    mkdir -p "$peers/download"
    # A copy that lies there already, such as one from a medium, is as good: its digest decides.
    cp wheels/"llama_cpp_python-$llama.tar.gz" "$peers/download/" 2>/dev/null ||
        PYTHONPATH=$tools PATH=$tools/bin:$PATH .venv/bin/python -m pip --quiet \
            --disable-pip-version-check download --no-deps --no-build-isolation \
            --no-binary :all: --dest "$peers/download" \
            --require-hashes -r <(printf 'llama-cpp-python==%s --hash=sha256:%s\n' "$llama" "$digest")
    echo "$digest  $peers/download/llama_cpp_python-$llama.tar.gz" | sha256sum --check --quiet ||
        fail "the source package of llama-cpp-python is not the pinned one" "delete $peers/download"
    mkdir "$source"
    tar -xzf "$peers/download/llama_cpp_python-$llama.tar.gz" -C "$source" --strip-components=3 \
        "llama_cpp_python-$llama/vendor/llama.cpp"
    echo "$digest" >"$source/.digest"
}

build_llama_server() {
    local wanted libraries
    libraries=$(echo "$PWD"/.venv/lib/python3*/site-packages/llama_cpp/lib)
    wanted="$digest $(cat "$libraries"/lib*.so installer/peers/CMakeLists.txt | sha256sum | cut -c -64)"
    is_there llama-server "$wanted" && return
    get_source
    (
        export PYTHONPATH=$tools PATH=$tools/bin:$PATH
        cmake -S installer/peers -B "$peers/build" -G Ninja -DCMAKE_BUILD_TYPE=Release \
            -DLLAMA_SOURCE="$source" -DLLAMA_LIBRARIES="$libraries" >"$peers/cmake.log"
        cmake --build "$peers/build" --target llama-server llama-batched-bench >"$peers/build.log"
    ) || fail "llama-server could not be built" "read $peers/cmake.log and $peers/build.log"
    install -m 755 "$peers"/build/bin/llama-* "$bin/"
    echo "$wanted" >"$bin/.llama-server"
}

build_ollama() {
    is_there ollama "$ollama native" && return
    command -v go >/dev/null || fail "Go is not installed" "install Go 1.24 or newer"
    get_source
    # A Go module leaves out folders named vendor, and with it two headers of llama.cpp; they are
    # the same in the source package.
    GOBIN=$bin CGO_CPPFLAGS="-I$source/vendor" CGO_CFLAGS="-O3 -DNDEBUG -march=native" \
        CGO_CXXFLAGS="-O3 -DNDEBUG -march=native" go install "github.com/ollama/ollama@$ollama" \
        >"$peers/ollama.log" 2>&1 || fail "Ollama could not be built" "read $peers/ollama.log"
    echo "$ollama native" >"$bin/.ollama"
}

main() {
    local name
    mkdir -p "$bin"
    [ $# -gt 0 ] || set -- llama-server ollama
    for name in "$@"; do
        case $name in
            llama-server) build_llama_server ;;
            ollama) build_ollama ;;
            *) fail "$name is no peer" "name llama-server or ollama, or nothing for both" ;;
        esac
        printf '%s is there: %s\n' "$name" "$bin/$name"
    done
}

main "$@"
