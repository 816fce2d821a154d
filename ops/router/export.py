"""Export: a process that writes one version as a Hugging Face folder, so that the router needs no torch."""

import argparse
import json
import sys
from collections.abc import Sequence
from pathlib import Path

from ...learner.checkpoint.folder import read_manifest
from ...learner.digests import file_digest
from ...streams.logs import log_to_stderr
from ...streams.quick_imports import quick_imports
from ...streams.state.durable import replace_file

DIGESTS = ".sha256.json"
"""Beside a version's folder: the SHA-256 of each file in it, by path; written last."""


def digests_path(folder: Path) -> Path:
    """Return where the digests of a version's folder stand: beside it."""
    return folder.with_name(folder.name + DIGESTS)


def digests_of(folder: Path) -> dict[str, str]:
    """Return the SHA-256, hex, of each file in a folder, by its path in there."""
    files = (path for path in sorted(folder.rglob("*")) if path.is_file())
    return {str(path.relative_to(folder)): file_digest(path) for path in files}


def main(arguments: Sequence[str]) -> None:
    """Write the folder and, last, its digests.

    Ends with a line that says why where the version cannot be put together, or the disk is full.
    """
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--checkpoints", type=Path, required=True)
    parser.add_argument("--sequence", type=int, required=True)
    parser.add_argument("--model", type=Path, required=True, help="folder of the base model")
    parser.add_argument("--out", type=Path, required=True)
    asked = parser.parse_args(arguments)
    log_to_stderr("export")
    with quick_imports():
        from ...learner.checkpoint.export_model import export_model
        from ...learner.checkpoint.no_room import NoRoom, making
    try:
        manifest = read_manifest(asked.checkpoints, asked.sequence)
        with making(asked.out):
            export_model(asked.checkpoints, manifest, asked.model, asked.out, tolerance=None)
            replace_file(digests_path(asked.out), json.dumps(digests_of(asked.out)).encode())
    except NoRoom:
        sys.exit(f"router.folder: {asked.out.parent}: its disk is full: make room")
    except ValueError as problem:
        sys.exit(str(problem))


if __name__ == "__main__":
    main(sys.argv[1:])
