"""Durable files: what is written survives a power cut once the call returns."""

import os
from pathlib import Path


def fsync(path: Path) -> None:
    """Force a file's bytes, or a folder's names, to the disk."""
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
