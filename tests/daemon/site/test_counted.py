"""What a page counts over all answers is not counted for everybody who asks."""

from pathlib import Path

from daemon_by_hand import open_daemon_ledger

from rlwd.daemon.site.counted import MOST_OFTEN, SOON, CountedOnce
from rlwd.streams.state.transaction import Transaction


def test_a_long_count_is_shown_for_a_while_and_a_short_one_is_made_anew(tmp_path: Path) -> None:
    """A fiftieth of the time at most is spent on counting, and each page says when it was."""
    clock, takes, counts = [0.0], [0.0], [0]

    def count(_: Transaction) -> int:
        clock[0] += takes[0]
        counts[0] += 1
        return counts[0]

    counted = CountedOnce(count, lambda: clock[0], lambda: clock[0])
    store = open_daemon_ledger(tmp_path / "rlwd.db").store
    with store.reading() as view:
        assert [counted.ask(view, at) for at in (10.0, 20.0)] == [(1, 10.0), (2, 20.0)]
        takes[0] = 2 * SOON
        assert counted.ask(view, 30.0) == (3, 30.0)
        clock[0] += MOST_OFTEN * takes[0] - 0.01
        assert counted.ask(view, 40.0) == (3, 30.0)
        clock[0] += 0.02
        assert counted.ask(view, 50.0) == (4, 50.0)
    store.close()
