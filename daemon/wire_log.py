"""Wire log: the event log of the configuration, to write to and to read from.

A gateway needs no more of the wiring than this, and loads no more. Kafka's client is loaded by who has a
broker: it takes a quarter of a second of a core at each start.
"""

from ..streams.log.embedded_log import EmbeddedSink, EmbeddedSource
from ..streams.log.oversize_sink import OversizeSink
from ..streams.log.ports import EventSink, EventSource, Resume
from .config import Config
from .store import opening


def event_source(config: Config, resume: Resume) -> EventSource:
    """Open the log to read from."""
    topics = (config.stream.generations, config.stream.feedback)
    if config.stream.kind == "kafka":
        from ..streams.log.kafka_source import KafkaSource

        return KafkaSource(config.stream.kafka, topics, resume)
    with opening(config.log_path):
        return EmbeddedSource(config.log_path, topics, resume)


def event_sink(config: Config) -> EventSink:
    """Open the log to write to, and the folder for what is too large for it."""
    sink: EventSink
    if config.stream.kind == "kafka":
        from ..streams.log.kafka_sink import KafkaSink

        sink = KafkaSink(config.stream.kafka)
    else:
        with opening(config.log_path):
            sink = EmbeddedSink(config.log_path)
    return OversizeSink(sink, config.data_path) if config.data_path else sink
