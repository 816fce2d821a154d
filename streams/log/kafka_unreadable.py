"""Records of Kafka that cannot be decoded: which codecs there are, and whose records failed."""

import struct
import zlib

from kafka import KafkaConsumer, TopicPartition
from kafka import codec as codecs
from kafka import errors as failures

CODECS = {
    "gzip": ("", codecs.has_gzip),
    "lz4": ("lz4", codecs.has_lz4),
    "snappy": ("python-snappy", codecs.has_snappy),
    "zstd": ("zstandard", codecs.has_zstd),
}
"""By the name that Kafka uses: the package that reads it, and whether it is installed."""


def missing_codecs() -> dict[str, str]:
    """Return the codecs that cannot be read here, each with the package to install."""
    return {name: package for name, (package, there) in CODECS.items() if not there()}


def _codec_errors() -> tuple[type[Exception], ...]:
    """Return what the installed codecs raise on bytes that are not theirs; lz4 raises RuntimeError."""
    found: list[type[Exception]] = [zlib.error, struct.error, EOFError, OSError, RuntimeError]
    # A record of the wrong shape fails as whatever reads it first.
    found += [ValueError, IndexError, NotImplementedError]
    if codecs.has_zstd():
        import zstandard

        found.append(zstandard.ZstdError)
    if codecs.has_snappy():
        import snappy

        found.append(snappy.UncompressError)
    return tuple(found)


_OURS = (failures.CorruptRecordError, failures.UnsupportedCodecError)
UNREADABLE = (*_OURS, *_codec_errors())
"""What `poll` may raise for records that cannot be decoded; ask `drop_unreadable` whose."""


def drop_unreadable(consumer: KafkaConsumer, problem: Exception) -> TopicPartition | None:
    """Return the partition whose records the consumer failed to decode; None for other problems.

    kafka-python 3.0.12 does not name it in the error. It would return to the records that failed for
    ever, and, paused, would never fetch that partition again: so they are dropped here, and the
    caller pauses the partition.
    """
    if isinstance(problem, failures.KafkaError) and not isinstance(problem, _OURS):
        return None
    at_fault, consumer._fetcher._next_partition_records = (
        consumer._fetcher._next_partition_records,
        None,
    )
    return at_fault.topic_partition if at_fault else None
