"""Where a file lies in the library: by what it holds, and by nothing that a publisher chose."""

from __future__ import annotations

from pathlib import Path


def library_file(folder: Path, digest: str, role: str = "weights") -> Path:
    """Return the one place in the library `folder` for a file of that role with that SHA-256.

    `chunks` (the digests of the weights' chunks) goes by the digest of the weights.
    """
    return folder / f"{digest}.{'gguf' if role == 'weights' else role}"
