"""A folder for what is made once in a process and copied from then on."""

from __future__ import annotations

import atexit
import shutil
import tempfile
from pathlib import Path


def kept_folder() -> Path:
    """Return an empty folder that is there until this process ends."""
    folder = Path(tempfile.mkdtemp(prefix="kept-"))
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    return folder
