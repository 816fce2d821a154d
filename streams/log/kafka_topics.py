"""Makes Kafka topics, and says in one way that a broker is away."""

import contextlib
from collections.abc import Iterable, Iterator
from typing import NoReturn

from kafka import errors as failures
from kafka.admin import KafkaAdminClient

from .kafka_settings import KafkaSettings

DENIED = failures.AuthorizationError
"""What a broker says to a user who lacks a right, on a topic, a group or the cluster."""


def create_topics(
    settings: KafkaSettings, names: Iterable[str], *, partitions: int = 4, replication: int = 1
) -> None:
    """Create topics; those that exist stay as they are. Raises ConnectionError."""
    with connecting(settings):
        admin = KafkaAdminClient(**settings.connection())
        try:
            shape = {"num_partitions": partitions, "replication_factor": replication}
            wanted = {name: shape for name in set(names) - set(admin.list_topics())}
            if wanted:
                with contextlib.suppress(failures.TopicAlreadyExistsError):
                    admin.create_topics(wanted, wait_for_metadata=True)
        finally:
            admin.close()


def raise_for_missing(settings: KafkaSettings, topics: Iterable[str]) -> NoReturn:
    """Say why topics have no partitions: ValueError where the broker has them not, else ConnectionError."""
    where, wanted = ", ".join(settings.bootstrap_servers), sorted(topics)
    with connecting(settings):
        admin = KafkaAdminClient(**settings.connection())
        try:
            missing = sorted(set(wanted) - set(admin.list_topics()))
        finally:
            admin.close()
    if missing:
        raise ValueError(
            f"kafka at {where}: topic {', '.join(missing)} is missing, or hidden from this user:"
            " create it (its partitions are for good), or grant DESCRIBE and READ (docs/kafka.md)"
        )
    raise ConnectionError(f"kafka at {where}: says no partitions of {', '.join(wanted)} yet")


def denied(problem: BaseException) -> str:
    """Return what a broker refused this user, and what to grant."""
    return (
        f"{problem or type(problem).__name__}: this user needs DESCRIBE and READ on the topics, READ"
        " on the consumer group, and WRITE where it writes (docs/kafka.md)"
    )


@contextlib.contextmanager
def connecting(settings: KafkaSettings) -> Iterator[None]:
    """Turn what the client raises where it cannot get through into ConnectionError.

    What the broker does not allow this user becomes ValueError.
    """
    where = f"kafka at {', '.join(settings.bootstrap_servers)}"
    try:
        yield
    except DENIED as problem:
        raise ValueError(f"{where}: {denied(problem)}") from problem
    except (failures.RetriableError, failures.SaslAuthenticationFailedError) as problem:
        spoken = settings.security.get("security_protocol", "PLAINTEXT")
        raise ConnectionError(
            f"{where}: {problem or type(problem).__name__}; does that listener speak {spoken}?"
        ) from problem
