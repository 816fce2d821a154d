"""Doctor, the log: Kafka and its topics, or the embedded log."""

import importlib.util
import sqlite3
from collections.abc import Iterator

from kafka.admin import KafkaAdminClient

from ...streams.log.kafka_topics import connecting
from ...streams.log.kafka_unreadable import missing_codecs
from ..config import Config
from .doctor_finding import Finding, fail, ok, warn


def check_log(config: Config) -> Iterator[Finding]:
    """Look at where events come from."""
    yield from _kafka(config) if config.stream.kind == "kafka" else _embedded_log(config)


def _embedded_log(config: Config) -> Iterator[Finding]:
    path = config.log_path
    if not path.exists():
        yield ok("log", f"{path} is not there yet; gateway or daemon make it")
        return
    try:
        view = sqlite3.connect(f"{path.absolute().as_uri()}?mode=ro", uri=True)
        try:
            topics = dict(
                view.execute("SELECT topic, SUM(end_offset) FROM lane GROUP BY topic").fetchall()
            )
        finally:
            view.close()
    except sqlite3.Error as problem:
        yield fail("log", f"{path}: {problem}", "restore it, or move it away to begin anew")
        return
    counts = ", ".join(f"{topic} {count}" for topic, count in sorted(topics.items()))
    yield ok("log", f"{path}: {counts or 'no topics yet'}")


def _kafka(config: Config) -> Iterator[Finding]:
    stream = config.stream
    if importlib.util.find_spec("crc32c") is None:
        yield warn(
            "log", "crc32c is not installed: reading is 75 times slower", "pip install crc32c"
        )
    for codec, package in missing_codecs().items():
        yield warn(
            "log", f"topics compressed with {codec} cannot be read", f"pip install {package}"
        )
    try:
        with connecting(stream.kafka):
            admin = KafkaAdminClient(**stream.kafka.connection())
            try:
                known = set(admin.list_topics())
            finally:
                admin.close()
    except (ConnectionError, ValueError) as problem:
        yield fail("log", str(problem), "start the broker, or correct stream.kafka")
        return
    wanted = {stream.generations, stream.feedback, stream.dead_letters}
    servers = ", ".join(stream.kafka.bootstrap_servers)
    yield ok("log", f"kafka answers at {servers}")
    for topic in sorted(wanted - known):
        yield fail("log", f"topic {topic} is missing", "create it; its partitions are for good")
    if wanted <= known:
        yield ok("log", f"topics {', '.join(sorted(wanted))} are there")
