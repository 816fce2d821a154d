"""Wire reading: builds what reads people's next messages, from the configuration."""

from collections.abc import Callable
from pathlib import Path

from ..ops.reading.worker import ReadingWorker
from ..streams.log.ports import EventSink
from ..streams.readings.reading_keys import have_key
from ..streams.state.store import Store
from .anchored import satisfaction_with_secrets
from .config import Config


def readers_folder(config: Config) -> Path:
    """Return where learned readers are kept."""
    return config.state_path / "readers"


def build_reading(
    config: Config, store: Store, sink: EventSink, clock: Callable[[], float]
) -> ReadingWorker:
    """Build the worker; a key for its proofs is made where there is none."""
    settings = satisfaction_with_secrets(config.satisfaction)
    with store.transaction() as tx:
        kept = have_key(tx, config.policy, clock())
    return ReadingWorker(
        store,
        config.policy,
        settings,
        readers_folder(config),
        sink,
        config.stream.feedback,
        settings.key.encode() or kept,
        clock=clock,
    )
