"""Which learned reader is in use after a restart: one that cannot be read any more is not said to read."""

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from daemon_by_hand import open_daemon_ledger
from ledger_by_hand import Ledger
from said_by_hand import said

from rlwd.ops.reading import learned_readers as readers_file
from rlwd.ops.reading.learned_readers import LearnedReaders
from rlwd.ops.reading.reader_folder import ReaderState, keep
from rlwd.ops.reading.settings import SatisfactionSettings
from rlwd.rewards.satisfaction import learned
from rlwd.rewards.satisfaction.training import train

NOW = 1_700_000_000.0


@pytest.fixture
def ledger(tmp_path: Path) -> Iterator[Ledger]:
    made = open_daemon_ledger(tmp_path / "rlwd.db")
    yield made
    made.store.close()


def gone(file: Path, _: pytest.MonkeyPatch) -> None:
    file.unlink()


def cut_off(file: Path, _: pytest.MonkeyPatch) -> None:
    file.write_bytes(file.read_bytes()[:1000])


def of_other_features(_: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(learned, "VERSION", "next")


@pytest.mark.parametrize("lost", [gone, cut_off, of_other_features])
def test_a_reader_that_is_lost_is_named_and_trained_anew(
    ledger: Ledger,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    lost: Callable[[Path, pytest.MonkeyPatch], None],
) -> None:
    """At once, and not when it would have been time; until then it is silent and says why."""
    reader, folder = train(said(400)), tmp_path / "readers"
    keep(folder, ReaderState(version=reader.version, trained_at=NOW, silent=""), reader)
    assert LearnedReaders(ledger.store, "policy", SatisfactionSettings(), folder).state.silent == ""
    lost(folder / f"{reader.version.replace('@', '-')}.npz", monkeypatch)
    found = LearnedReaders(ledger.store, "policy", SatisfactionSettings(), folder)
    assert f"{reader.version} is missing, damaged, or of another rlwd" in found.state.silent
    assert found.current() is None
    monkeypatch.setattr(readers_file, "decided_messages", lambda *_: said(400))
    found.train_if_due(NOW + 1.0)
    assert found.state.silent == ""
    again = found.current()
    assert again is not None
    assert again.version == found.state.version
