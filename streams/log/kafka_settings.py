"""KafkaSettings: how to reach Kafka. Importable without its client."""

import re
import socket
import ssl
from typing import Any

import msgspec

from ..secret_values import read_secret
from ..state.refused import Refused
from .kafka_refusal import Security, refusal
from .kafka_security import check_security, tls_context

_UNPROVEN = (
    "stream.kafka.security.ssl_cafile has to hold what signed the broker's certificate, and"
    " bootstrap_servers a name that is in it"
)


class KafkaSettings(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """How to reach Kafka, and how to read from it."""

    bootstrap_servers: tuple[str, ...] = ("127.0.0.1:9092",)
    """Brokers to ask first, `host:port`."""
    group_id: str = "rlwd"
    """Consumer group; its members share the partitions."""
    group_instance_id: str = ""
    """Stable name of this member, other for each member; empty takes the host's name."""
    session_timeout_seconds: float = 45.0
    """A member silent for so long loses its partitions; a restart within it moves nothing."""
    max_poll_interval_seconds: float = 300.0
    """A member that does not poll for so long loses its partitions."""
    fetch_max_wait_seconds: float = 0.25
    """How long the broker may hold an empty answer; also how old an end may be."""
    fetch_max_bytes: int = 52_428_800
    """Most bytes of one answer."""
    max_partition_fetch_bytes: int = 1_048_576
    """Most bytes of one partition in one answer; a larger record still comes, alone."""
    max_record_bytes: int = 1_000_000
    """Largest key and value together; the broker's own limit, 1,048,588, counts its framing too."""
    max_queued_bytes: int = 67_108_864
    """Most bytes queued and not yet acknowledged."""
    connect_seconds: float = 10.0
    """How long a first connection may take."""
    security: dict[str, str | bool] = {}
    """`security_protocol`, `ssl_*`, `sasl_*` as kafka-python names them; `$NAME` names the
    environment variable, `file:PATH` the file that holds a value."""

    def __post_init__(self) -> None:
        if not self.bootstrap_servers:
            raise ValueError("bootstrap_servers: at least one host:port is needed")
        for server in self.bootstrap_servers:
            if not re.fullmatch(r".+:\d+", server):
                raise ValueError(f"bootstrap_servers: {server!r} is not host:port")
        for key, value in self.security.items():
            check_security(f"security.{key}", key, value)

    def connection(self) -> dict[str, Any]:
        """Arguments that consumer, producer and admin client share.

        Raises ValueError where a secret is not there, ConnectionError where no broker takes a
        connection, Refused where none proves itself by its certificate, or none lets us in. (Asked
        first because a client that fails to start leaves its thread, and one that is refused a
        handshake its sockets.)
        """
        security = {
            key: read_secret(f"stream.kafka.security.{key}", value)
            if isinstance(value, str)
            else value
            for key, value in self.security.items()
        }
        refused, refusals = list[str](), list[str]()
        context = tls_context(security)
        for server in self.bootstrap_servers:
            try:
                _reach(server, context, security)
                break
            except Refused as problem:
                refused.append(str(problem))
            except ssl.SSLCertVerificationError as problem:
                refused.append(
                    f"kafka at {server}: {problem.reason}: {problem.verify_message}: {_UNPROVEN}"
                )
            except ssl.SSLError as problem:
                refusals.append(f"kafka at {server}: {problem.reason or problem}")
            except OSError:
                continue
        else:
            if refused:
                raise Refused("; ".join(refused))
            nothing = f"kafka: nothing answers at {', '.join(self.bootstrap_servers)}"
            raise ConnectionError("; ".join(refusals) or nothing)
        return {
            "bootstrap_servers": list(self.bootstrap_servers),
            "bootstrap_timeout_ms": int(self.connect_seconds * 1000),
            "reconnect_backoff_max_ms": 1000,
            **security,
        }


def _reach(server: str, context: ssl.SSLContext | None, security: Security) -> None:
    """Connect and log in once, as the client will.

    Raises OSError, SSLError where the handshake fails, Refused where the broker lets us not in.
    """
    host, _, port = server.rpartition(":")
    with socket.create_connection((host.strip("[]"), int(port)), 3.0) as plain:
        if context is None:
            said = refusal(plain, security) if security else None
        else:
            with context.wrap_socket(plain, server_hostname=host.strip("[]")) as connected:
                said = refusal(connected, security)
    if said is not None:
        raise Refused(f"kafka at {server}: {said}")
