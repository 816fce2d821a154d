"""No room: a disk that took no checkpoint, which is no fault of the batch that made it."""

import errno
import re
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from safetensors import SafetensorError


class NoRoom(Exception):
    """The disk takes no checkpoint; what was half written is gone again."""


@contextmanager
def making(aside: Path) -> Iterator[None]:
    """Make a checkpoint's folder aside in the block; raises NoRoom, leaving nothing of it, on a full disk."""
    try:
        yield
    except (OSError, SafetensorError) as problem:
        if not _is_full(problem):
            raise
        shutil.rmtree(aside, ignore_errors=True)
        raise NoRoom(f"{aside.parent}: its disk is full: make room; the batch is kept") from problem


def _is_full(problem: OSError | SafetensorError) -> bool:
    codes = (errno.ENOSPC, errno.EDQUOT)
    if isinstance(problem, OSError) and problem.errno is not None:
        return problem.errno in codes
    # Of a folder that was copied, and of tensors, the number is only said in words.
    told = re.findall(r"\[Errno (\d+)\]|\(os error (\d+)\)", str(problem))
    return any(int(one or other) in codes for one, other in told)
