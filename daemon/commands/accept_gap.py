"""`rlwd accept-gap`: goes on where a log has lost records."""

from ...streams.join.offsets import accept_gap
from ...streams.log.ports import Partition
from ..config import Config
from ..store import existing_store

MOST_DIGITS = 9
"""A broker's partitions are numbered with 31 bits."""


def run_accept_gap(config: Config, partition: str, offset: int, *, back: bool = False) -> None:
    """Give up the offsets that a log has lost; raises ValueError for what is no `topic/index`."""
    topic, _, index = partition.rpartition("/")
    if not topic or not index.isdecimal() or len(index) > MOST_DIGITS:
        raise ValueError(f"{partition}: name it topic/partition, such as rlwd.feedback/0")
    store = existing_store(config)
    with store.transaction() as tx:
        where = Partition(topic=topic, index=int(index))
        given_up = accept_gap(tx, config.policy, where, offset, back=back)
    store.close()
    if back:
        print(f"{partition} goes on at {offset}, {-given_up} back; what is known is a duplicate")
    else:
        print(f"{partition} goes on at {offset}; {given_up} offsets are given up and counted")
