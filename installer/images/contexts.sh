# shellcheck shell=bash
# What the build of each image may see of this folder: a context per image, and nothing beside it.
# shellcheck source=installer/images/lib.sh
source "$(dirname "${BASH_SOURCE[0]}")/lib.sh"

# Puts it together for one image.
context() {
    local name=$1 folder=$built/$1/context
    rm -rf "$folder"
    mkdir -p "$folder"
    dockerfile "${name/#engine-*/engine-gpu}" >"$folder/Dockerfile"
    case $name in
    engine-*)
        other_llama "$name" "$folder"
        return
        ;;
    esac
    cp compose/base/healthy.py "$folder/"
    case $name in
    edge) cp compose/edge/{nginx.conf,start.sh,watch-certificate.sh,watch-gateway.sh} "$folder/" ;;
    ollama) cp build/peers/bin/ollama "$folder/" ;;
    llama-server) llama_server "$folder" ;;
    *) programs_of_ours "$name" "$folder" ;;
    esac
}

# Images with programs in Python begin alike.
dockerfile() { # FOLDER-OF-THE-IMAGE
    case $1 in
    edge | ollama | llama-server) ;;
    *) cat compose/base/wheels.Dockerfile ;;
    esac
    cat "compose/$1/Dockerfile"
}

programs_of_ours() {
    local name=$1 folder=$2 digest file
    mkdir "$folder/wheels"
    cp compose/base/appliance.sh "$built/$name/requirements.txt" "$folder/"
    cp -r .venv/lib/python3.*/site-packages/pip "$folder/pip"
    while read -r digest file; do
        ! grep -q "sha256:$digest" "$folder/requirements.txt" || cp "$wheels/$file" "$folder/wheels/"
    done <"$wheels/SHA256SUMS"
}

# With the libraries that it was built over, and what says whose they are, for the bill of materials.
llama_server() {
    local folder=$1/llama-server from
    from=$(echo .venv/lib/python3.*/site-packages)
    mkdir "$folder"
    cp compose/llama-server/start.py "$1/"
    cp build/peers/bin/llama-server "$from"/llama_cpp/lib/*.so.0 "$folder/"
    cp -r "$from"/llama_cpp_python-*.dist-info "$folder/"
}

# What a builder brings along for a GPU: nothing that its list of digests does not name, and the
# version of llama.cpp that everything else is written for.
other_llama() {
    local name=$1 folder=$2 from file digest variable pinned
    variable=APPLIANCE_$(tr '[:lower:]' '[:upper:]' <<<"${name#engine-}")
    from=${!variable:-}
    [ -f "$from/SHA256SUMS" ] ||
        fail "$variable names no folder with a SHA256SUMS" "see docs/how-to/use-a-gpu.md"
    (cd "$from" && sha256sum --check --quiet --strict SHA256SUMS) >&2 ||
        fail "a file in $from is not what its SHA256SUMS names" "copy the folder again"
    mkdir "$folder/wheels" "$folder/lib"
    while read -r digest file; do
        case $file in
        */../* | ../* | /*) fail "SHA256SUMS in $from leaves the folder" "name files in it" ;;
        *.whl)
            cp "$from/$file" "$folder/wheels/"
            requirement "$(basename "$file")" "$digest" >>"$folder/requirements.txt"
            ;;
        lib/*) install -D -m 0755 "$from/$file" "$folder/$file" ;;
        esac
    done <"$from/SHA256SUMS"
    pinned=$(sed -n -E 's/^(llama-cpp-python==[^ ]*).*/\1/p' requirements.lock)
    grep -q -F "$pinned " "$folder/requirements.txt" 2>/dev/null ||
        fail "there is no wheel of $pinned in $from" "see docs/how-to/use-a-gpu.md"
    cp -r .venv/lib/python3.*/site-packages/pip "$folder/pip"
}
