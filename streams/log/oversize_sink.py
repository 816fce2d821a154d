"""OversizeSink: any sink, with a shared folder for the records that are too large for it."""

from pathlib import Path

from .claim_check import store_payload
from .ports import EventSink


class OversizeSink:
    """Sends records on; one over the sink's limit goes to the folder, and its reference is sent.

    Generations and feedback keep all of their content. A record that the broker refuses by a limit
    below the sink's own is refused here too.
    """

    def __init__(self, sink: EventSink, folder: Path) -> None:
        self.sink, self.folder = sink, folder

    def send(self, topic: str, key: str, value: bytes) -> None:
        """Queue one record; raises as the sink does, and OSError where the folder takes no more."""
        try:
            self.sink.send(topic, key, value)
        except ValueError:
            self.sink.send(topic, key, store_payload(self.folder, value))

    def flush(self, timeout_seconds: float) -> None:
        """Return once all that was sent is durable."""
        self.sink.flush(timeout_seconds)

    def close(self) -> None:
        """Let go of the log."""
        self.sink.close()
