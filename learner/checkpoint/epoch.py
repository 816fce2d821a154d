"""Lease epoch on disk: which daemon's learner may still write checkpoints."""

import contextlib
import fcntl
import time
from collections.abc import Iterator
from pathlib import Path

from ...streams.state.durable import replace_file

EPOCH_SECONDS = 20.0
"""Longest wait for who publishes a checkpoint: a rename takes milliseconds."""


@contextlib.contextmanager
def epoch_lock(folder: Path) -> Iterator[None]:
    """Hold off every other reader and writer of the lease epoch.

    Raises TimeoutError where another process holds it for long: a learner that was stopped there.
    """
    folder.mkdir(parents=True, exist_ok=True)
    deadline = time.monotonic() + EPOCH_SECONDS
    with (folder / "EPOCH.lock").open("ab") as lock:
        while True:
            with contextlib.suppress(BlockingIOError):
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            if time.monotonic() > deadline:
                raise TimeoutError(
                    f"{lock.name}: held for over {EPOCH_SECONDS:.0f} s; is a learner stopped?"
                )
            time.sleep(0.02)
        yield


def read_epoch(folder: Path) -> int:
    """Return the largest lease epoch handed out, 0 where there was none.

    Raises ValueError where the file holds no number.
    """
    path = folder / "EPOCH"
    if not path.exists():
        return 0
    try:
        return int(path.read_text())
    except ValueError:
        raise ValueError(
            f"{path}: holds no number: write into it the largest `lease_epoch` of the manifests"
            " beside it, or restore it from a backup"
        ) from None


def write_epoch(folder: Path, epoch: int) -> None:
    """Make `epoch` the one that may write checkpoints; durable when it returns.

    Raises ValueError where a larger one was handed out already.
    """
    with epoch_lock(folder):
        if epoch < read_epoch(folder):
            raise ValueError(f"{folder / 'EPOCH'}: {read_epoch(folder)} is above {epoch}")
        replace_file(folder / "EPOCH", f"{epoch}\n".encode())
