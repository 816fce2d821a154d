"""LearnedTurns: trains the product's own reader when it is time, and reads messages with it."""

from ...streams.state.store import Store
from .learned_readers import LearnedReaders
from .outcomes import Outcomes
from .picker import AT_ONCE, Picker
from .settings import SatisfactionSettings


class LearnedTurns:
    """What needs no network; one thread uses it."""

    def __init__(
        self,
        store: Store,
        policy: str,
        settings: SatisfactionSettings,
        learned: LearnedReaders,
        outcomes: Outcomes,
    ) -> None:
        self.settings, self.learned, self.outcomes = settings, learned, outcomes
        self._messages = Picker(
            store,
            policy,
            outcomes,
            rubrics=False,
            give_up_seconds=settings.give_up_seconds,
        )
        self._train_asked = True

    def train_soon(self) -> None:
        """Let the next turn train where it is time; safe from any thread."""
        self._train_asked = True

    def turn(self, now: float) -> int:
        """Train where it is time, and read; return how many readings were written."""
        if self.settings.reader == "judge":
            return 0
        if self.settings.reader == "off":
            self._messages.pick(now, 0, reads=lambda row: False)
            return 0
        if self._train_asked:
            self._train_asked = False
            self.learned.train_if_due(now)
        reader = self.learned.current()
        texts = self._messages.pick(now, AT_ONCE if reader is not None else 0)
        if reader is None or not texts:
            return 0
        self._messages.tried([one.row for one in texts], now)
        readings = reader.read([one.message for one in texts])
        return self.outcomes.write(texts, readings, [reader.version] * len(texts), now)
