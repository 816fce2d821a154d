"""LearnedReaders: trains the product's own reader when it is time, and says which one is in use."""

from pathlib import Path

import structlog

from ...rewards.satisfaction.learned import LearnedReader
from ...rewards.satisfaction.training import TooLittle, train
from ...streams.state.store import Store
from . import reader_folder
from .decided import decided_messages
from .reader_folder import ReaderState
from .settings import SatisfactionSettings

log = structlog.get_logger()


class LearnedReaders:
    """The readers of one policy, in their folder; one thread uses it."""

    def __init__(
        self, store: Store, policy: str, settings: SatisfactionSettings, folder: Path
    ) -> None:
        self.store, self.policy, self.settings, self.folder = store, policy, settings, folder
        self.state: ReaderState = reader_folder.load_state(folder)
        self._reader: LearnedReader | None = None
        self._check_file()

    def current(self) -> LearnedReader | None:
        """Return the reader in use; None while it is silent."""
        if self.state.silent or not self.state.version:
            return None
        if self._reader is None or self._reader.version != self.state.version:
            self._reader = reader_folder.load_reader(self.folder, self.state.version)
        return self._reader

    def _check_file(self) -> None:
        """Where the reader in use cannot be read any more, say so, and train as soon as may be."""
        used = self.settings.reader == "learned" and self.state.version and not self.state.silent
        if used and self.current() is None:
            why = (
                f"{self.state.version} is missing, damaged, or of another rlwd; one is trained anew"
            )
            log.warning("reader_lost", version=self.state.version, folder=str(self.folder))
            self.state = ReaderState(version=self.state.version, silent=why)

    def train_if_due(self, now: float) -> None:
        """Train where the last time is long enough ago, and keep what came of it."""
        if 0 <= now - self.state.trained_at < self.settings.retrain_seconds:
            return
        settings, reader, version = self.settings, None, self.state.version
        found = decided_messages(self.store, self.policy, settings.most_labels)
        try:
            reader = train(found, least=settings.least_labels)
        except TooLittle as problem:
            # What was learned before goes on reading: it is not worse for its labels having gone.
            silent = "" if self.current() is not None else str(problem)
        else:
            error, version = reader.evidence.held_out.calibration_error, reader.version
            silent = ""
            if error > settings.max_error:
                silent = f"its calibration error of {error:.3f} is above {settings.max_error:g}"
            log.info("reader_trained", version=version, silent=silent, error=round(error, 4))
        self.state = ReaderState(version=version, trained_at=now, silent=silent)
        self._reader = reader or self._reader
        reader_folder.keep(self.folder, self.state, reader)
