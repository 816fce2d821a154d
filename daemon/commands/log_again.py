"""LogAgain: the log read once more from its beginning, into a state of its own, for records that the state forgot."""

import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager
from functools import partial
from pathlib import Path
from types import TracebackType
from typing import Self

import msgspec

from ...learner.ledger.remade import held_episodes
from ...streams.events.episode import Episode
from ...streams.join.erasure import erase, erased_users
from ...streams.join.ingest import Ingest, read_to_end
from ...streams.open import open_store
from ...streams.state.store import Store
from ...streams.state.transaction import Transaction
from ..config import Config
from ..wire import joiner
from ..wire_log import event_source


class LogAgain:
    """Reads the topics in a consumer group of its own: no daemon loses a partition by it.

    Whoever was erased is erased here too before anything is handed out. The state is a temporary one, as
    large as what the log holds, and is deleted at the end.
    """

    def __init__(
        self, config: Config, live: Callable[[], AbstractContextManager[Transaction]], beside: Path
    ) -> None:
        self.config, self.live = config, live
        self._folder = tempfile.TemporaryDirectory(prefix=".log-", dir=beside)
        self._store: Store | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        problem: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self._store is not None:
            self._store.close()
        self._folder.cleanup()

    def read(self) -> None:
        """Read the topics to their end, unless that is done."""
        self._store = self._store or self._read()

    def episodes(
        self, ids: Sequence[str], before: Mapping[str, int] | None = None
    ) -> Mapping[str, Episode]:
        """Return the episodes of these generations, those that the log still has the records of.

        With `before` as they were known when it had been read up to these offsets.
        """
        assert self._store is not None, "the log is read first"
        with self._store.reading() as view:
            return held_episodes(view, self.config.policy, ids, before)

    def _read(self) -> Store:
        config, policy = self.config, self.config.policy
        kafka = msgspec.structs.replace(
            config.stream.kafka,
            group_id=f"{config.stream.kafka.group_id}-rebuild-{time.time_ns()}",
            group_instance_id="",
        )
        own = msgspec.structs.replace(
            config, stream=msgspec.structs.replace(config.stream, kafka=kafka)
        )
        store = open_store(Path(self._folder.name) / "rlwd.db")
        ingest = Ingest(store, joiner(own), partial(event_source, own))
        try:
            read_to_end(ingest)
        finally:
            ingest.source.close()
        with self.live() as view:
            erased = list(erased_users(view, policy))
        with store.transaction() as tx:
            for user in erased:
                erase(tx, policy, user, time.time())
        return store
