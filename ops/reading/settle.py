"""Settle: what a reading worker did, written into the tables by the loop, which owns them."""

from ...streams.readings.reading_tallies import add_tallies
from ...streams.readings.unread import give_up
from ...streams.state.store import Store
from .worker import ReadingWorker


def settle_readings(store: Store, policy: str, worker: ReadingWorker, now: float) -> None:
    """Let go what the worker gave up, keep what it counted, and ask it to look again.

    Where the tables cannot be written nothing is forgotten: what was spent counts later.
    """
    rows, told = worker.take()
    written = False
    try:
        if rows or told:
            with store.transaction() as tx:
                give_up(tx, policy, rows)
                add_tallies(tx, policy, now, told)
        written = True
    finally:
        worker.settled(rows, told, written=written)
    worker.ask()
