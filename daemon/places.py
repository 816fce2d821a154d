"""Places: the folders that a process writes to, tried before it begins, and named by their keys."""

import errno
import os
import tempfile
from pathlib import Path

from ..learner.checkpoint.folder import sequences
from ..streams.state.store import Store
from .config import Config

PROBE_BYTES = 1 << 16


def check_control_places(config: Config) -> None:
    """Write to every folder of the daemon in control; raises OSError with the key of the first that fails."""
    check_place("state", config.state_path)
    check_place("state", config.state_path / "checkpoints")
    check_place("erasures", config.erasures_path.parent)
    check_place("gateway.flags", config.flags_path.parent)
    if config.data_path is not None:
        check_place("stream.data_folder", config.data_path)


def check_checkpoints(config: Config, store: Store) -> None:
    """Raise ValueError where the database knows checkpoints and their folder has none of them.

    The learner would begin anew under numbers that are given to versions already.
    """
    folder = config.state_path / "checkpoints"
    if sequences(folder):
        return
    with store.reading() as view:
        (known,) = view.execute(
            "SELECT COUNT(*) FROM checkpoints WHERE policy = ?", (config.policy,)
        ).fetchone()
    if known:
        raise ValueError(
            f"{folder}: holds no checkpoint, and {store.name} knows {known}: restore both from one"
            " backup, or move the database away to begin anew"
        )


def check_spool(spool: Path) -> None:
    """Make a gateway's spool; raises OSError with its key where it cannot be, a full disk apart.

    People are answered all the same where the disk is full, and what is lost is counted.
    """
    try:
        check_place("gateway.spool", spool)
    except OSError as problem:
        if problem.errno not in (errno.ENOSPC, errno.EDQUOT):
            raise


def check_place(key: str, folder: Path) -> None:
    """Make a folder where it is not, and write a file there that is gone at once."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=folder) as file:
            file.write(bytes(PROBE_BYTES))
            file.flush()
            os.fsync(file.fileno())
    except OSError as problem:
        number = problem.errno or 0
        raise OSError(number, os.strerror(number), f"{key}: {folder}") from problem
