"""WorkerFolders: where each of a gateway's workers spools, and which folders are left of earlier ones."""

import glob
import re
from collections.abc import Iterator
from pathlib import Path

WORKER = r"-w[1-9][0-9]*"
"""What a worker's folder is named after its gateway's."""


def worker_spool(spool: Path, worker: int) -> Path:
    """Return the folder of a gateway's worker, from 1 on; the first has the gateway's own.

    >>> worker_spool(Path("s/spool"), 1).name, worker_spool(Path("s/spool"), 3).name
    ('spool', 'spool-w3')
    """
    return spool if worker == 1 else spool.with_name(f"{spool.name}-w{worker}")


def left_spools(spool: Path, workers: int) -> list[Path]:
    """Return the folders of workers that a gateway had, beyond those that it has now."""
    own = {worker_spool(spool, one) for one in range(1, workers + 1)}
    found = (one for one in _beside(spool, WORKER) if one.is_dir() and one not in own)
    return sorted(found)


def _beside(spool: Path, tail: str) -> Iterator[Path]:
    """Yield what is named as the spool and a tail; a copy of one beside it is somebody's own."""
    for one in spool.parent.glob(f"{glob.escape(spool.name)}-*"):
        if re.fullmatch(tail, one.name.removeprefix(spool.name)):
            yield one


def all_spools(spool: Path) -> list[Path]:
    """Return the folders of every gateway of a config: its own, those of gateways on ports of their own,
    and those of workers, whether there are so many now or there were once.
    """
    return [spool, *sorted(_beside(spool, rf"{WORKER}|-[0-9]+({WORKER})?"))]
