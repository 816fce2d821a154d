"""What carrying records to the log may cost the requests beside it."""

import os
from pathlib import Path

import pytest

from rlwd.daemon.spool import record
from rlwd.daemon.spool.forwarder import LONGEST_GATHER_SECONDS, SHARE, gathered_for
from rlwd.daemon.spool.spool import Kind, Spool


def filled(folder: Path) -> Spool:
    """Return a spool with records of many lengths."""
    spool = Spool(folder, 1 << 24)
    for number in range(40):
        spool.append(Kind.FEEDBACK, "s", f"f{number}", "t|d|", b"x" * (number * 37 % 200))
    return spool


def test_a_segment_is_read_in_pieces_of_any_size(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Wherever a piece ends, within a record's head or its body, the records are the same."""
    spool = filled(tmp_path)
    wanted = spool.read(100)
    spool.release()
    assert len(wanted) == 40
    for size in (1, 7, 64, 501):
        monkeypatch.setattr(record, "READ_BYTES", size)
        assert spool.read(100) == wanted
        spool.release()
    spool.close()


def test_no_request_waits_for_the_disk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Noting what the log has, under the lock that requests take, forces nothing to the disk."""
    spool = filled(tmp_path)
    spool.read(100)

    def forced(_: int) -> None:
        raise AssertionError("somebody would wait")

    with monkeypatch.context() as patched:
        patched.setattr(os, "fsync", forced)
        spool.advance()
    spool.close()
    again = Spool(tmp_path, 1 << 24)
    assert again.unsent == 0
    again.close()


def test_a_dear_batch_is_followed_by_a_longer_pause() -> None:
    """Carrying takes no larger share of the time than it may, but no record gathers for long."""
    assert gathered_for(1, 0.5) == gathered_for(50, 0.0) == 0.02
    took = 0.01
    assert took / (took + gathered_for(50, took)) == pytest.approx(SHARE)
    assert gathered_for(50, 10.0) == LONGEST_GATHER_SECONDS
