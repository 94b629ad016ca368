"""python-tuf's own client on a folder: the peer that `bundles` is measured against.

It verifies as the TUF specification says, and writes every target twice: into a temporary file,
and from there to its place.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

from tuf.api.exceptions import DownloadHTTPError
from tuf.ngclient import FetcherInterface, Updater

CHUNK = 1_048_576


class FolderFetcher(FetcherInterface):
    """Reads below one folder what others would fetch over HTTP."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def _fetch(self, url: str) -> Iterator[bytes]:
        path = self._folder / url.removeprefix("bundle:/")
        try:
            file = path.open("rb")
        except FileNotFoundError:
            raise DownloadHTTPError("not there", 404) from None
        with file:
            while chunk := file.read(CHUNK):
                yield chunk


def download(bundle: Path, destination: Path, target: str) -> Path:
    """Refresh the metadata, fetch `target` into `destination`, fsync it; return where it lies."""
    metadata = destination / "metadata"
    metadata.mkdir()
    updater = Updater(
        str(metadata),
        "bundle:/metadata/",
        str(destination),
        "bundle:/targets/",
        FolderFetcher(bundle),
        bootstrap=(bundle / "metadata" / "1.root.json").read_bytes(),
    )
    updater.refresh()
    info = updater.get_targetinfo(target)
    if info is None:
        raise ValueError(f"the bundle does not list {target}")
    path = Path(updater.download_target(info))
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
    return path
