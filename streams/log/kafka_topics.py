"""Makes Kafka topics, and says in one way that a broker is away."""

import contextlib
from collections.abc import Iterable, Iterator

from kafka import errors as failures
from kafka.admin import KafkaAdminClient

from .kafka_settings import KafkaSettings


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


@contextlib.contextmanager
def connecting(settings: KafkaSettings) -> Iterator[None]:
    """Turn what the client raises where it cannot get through into ConnectionError."""
    try:
        yield
    except (failures.RetriableError, failures.SaslAuthenticationFailedError) as problem:
        raise ConnectionError(
            f"kafka at {', '.join(settings.bootstrap_servers)}: {problem or type(problem).__name__}"
        ) from problem
