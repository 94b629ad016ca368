"""Starts llama-server with one model of the library, once its bytes are what was signed.

Guarantee: weights, and the chat template where one was signed, have the SHA-256 that the library
or APPLIANCE_MODEL names; otherwise nothing is started. It serves them under that digest, which the
gateway asks for before each question. No text of a question is logged, and nothing is fetched.
Not here: somebody who changes the file between hashing and loading. The library is read-only in
this container; only the gateway writes there.
"""

import hashlib
import json
import os
import re
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

LIBRARY = Path("/var/lib/appliance/models")
PROGRAM = "/opt/llama-server/llama-server"
PORT = 8081
DIGEST = re.compile("[0-9a-f]{64}")


def chosen(environment: Mapping[str, str], active: Mapping[str, Any]) -> Mapping[str, Any]:
    """Return digest, template_sha256 and context_tokens of the model that is to be served."""
    known = [active[key] for key in ("model", "beside") if active.get(key)]
    wanted = environment.get("APPLIANCE_MODEL") or (known[0]["digest"] if known else "")
    if not DIGEST.fullmatch(wanted):
        sys.exit("error: no model is active\nnext: name one by its SHA-256 in APPLIANCE_MODEL")
    found = next((model for model in known if model["digest"] == wanted), {"digest": wanted})
    named = {
        "template_sha256": environment.get("APPLIANCE_TEMPLATE"),
        "context_tokens": int(environment.get("APPLIANCE_CONTEXT_TOKENS") or 0),
    }
    return {**found, **{key: value for key, value in named.items() if value}}


def verified(library: Path, digest: str, ending: str) -> Path:
    """Return the path of a file in the library whose bytes have its digest."""
    path = library / f"{digest}.{ending}"
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC)
        with open(descriptor, "rb") as file:
            is_same = hashlib.file_digest(file, "sha256").hexdigest() == digest
    except OSError as error:
        sys.exit(f"error: {path.name} cannot be read ({error.strerror})\nnext: import the model")
    if not is_same:
        sys.exit(
            f"error: {path.name} is not what was signed; nothing was started\n"
            "next: keep the files as they are and call the person in charge of security"
        )
    return path


def options(model: Mapping[str, Any], environment: Mapping[str, str], library: Path) -> list[str]:
    """Return what llama-server is started with."""
    digest = model["digest"]
    words = ["--model", str(verified(library, digest, "gguf")), "--alias", digest]
    if template := model.get("template_sha256"):
        words += ["--chat-template-file", str(verified(library, template, "template"))]
    threads = max(1, int(float(environment.get("APPLIANCE_CPUS") or 1)))
    words += ["--host", "0.0.0.0", "--port", str(PORT), "--threads", str(threads)]  # noqa: S104 - its one network
    return [*words, *_room(model, environment), *CLOSED]


CLOSED = (
    "--offline",  # it fetches nothing, whatever a request names
    "--no-webui",
    "--embeddings",
    # Else earlier conversations fill up to 8 GiB beside the model, and the limit would end it.
    "--cache-ram", "0",
)  # fmt: skip


def _room(model: Mapping[str, Any], environment: Mapping[str, str]) -> Iterator[str]:
    """Yield how many answers are written at once, and room for each of them."""
    parallel = max(1, int(environment.get("APPLIANCE_PARALLEL") or 1))
    yield from ("--parallel", str(parallel))
    if tokens := int(model.get("context_tokens") or 0):
        # Each has its own, so that one long text takes nothing from the others.
        yield from ("--no-kv-unified", "--ctx-size", str(parallel * tokens))
    else:
        # As many as the model was trained for, for all together.
        yield from ("--kv-unified", "--ctx-size", "0")


def main() -> None:
    """See the module."""
    try:
        active = json.loads((LIBRARY / "active.json").read_text())
    except FileNotFoundError:
        active = {}
    model = chosen(os.environ, active)
    words = options(model, os.environ, LIBRARY)
    print(f"serving {model['digest']}, whose bytes were hashed just now", flush=True)
    os.execv(PROGRAM, [PROGRAM, *words])  # noqa: S606 - this process becomes it


if __name__ == "__main__":
    main()
