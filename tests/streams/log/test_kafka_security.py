"""Kafka as companies run it: TLS, and SASL over it, for source, sink and end offsets."""

import json
import subprocess
import sys
import uuid
from collections.abc import Iterator
from pathlib import Path

import pytest
from kafka.admin import (
    ACL,
    ACLOperation,
    ACLPermissionType,
    KafkaAdminClient,
    ResourcePattern,
    ResourceType,
)
from kafka_security import PASSWORD, USER, KafkaSecurity
from kafka_server import KafkaServer
from waiting import until

from rlwd.daemon.cli import main
from rlwd.ops.servers.process import free_port
from rlwd.streams.log.kafka_sink import KafkaSink
from rlwd.streams.log.kafka_source import KafkaSettings, KafkaSource
from rlwd.streams.log.kafka_topics import create_topics
from rlwd.streams.log.ports import Partition, Record
from rlwd.streams.state.refused import Refused

pytestmark = pytest.mark.kafka


@pytest.fixture(scope="module")
def secured(tmp_path_factory: pytest.TempPathFactory) -> Iterator[KafkaSecurity]:
    """A broker with a certificate of its own, and one user."""
    folder = tmp_path_factory.mktemp("secured")
    security = KafkaSecurity(folder)
    with KafkaServer(folder, security=security):
        yield security


def settings_of(security: KafkaSecurity, how: str, password: str = PASSWORD) -> KafkaSettings:
    """Settings for one way in; `how` is TLS or a mechanism of SASL."""
    trust: dict[str, str | bool] = {"ssl_cafile": str(security.certificate)}
    if how == "TLS":
        where, more = security.tls, {"security_protocol": "SSL"}
    else:
        where = security.sasl
        more = {"security_protocol": "SASL_SSL", "sasl_mechanism": how}
        more |= {"sasl_plain_username": USER, "sasl_plain_password": password}
    return KafkaSettings(
        bootstrap_servers=(where,),
        group_id=f"group-{uuid.uuid4().hex[:8]}",
        group_instance_id="one",
        session_timeout_seconds=6.0,
        security={**trust, **more},
    )


@pytest.mark.parametrize("how", ["TLS", "PLAIN", "SCRAM-SHA-512"])
def test_what_is_written_is_read_and_the_end_is_known(
    secured: KafkaSecurity, how: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Topics are made, records written and read, and end offsets heard, over the same way in."""
    monkeypatch.setenv("KAFKA_PASSWORD", PASSWORD)
    settings = settings_of(secured, how, "$KAFKA_PASSWORD")
    topic = f"events-{uuid.uuid4().hex[:8]}"
    create_topics(settings, [topic], partitions=2)
    sink = KafkaSink(settings)
    for number in range(50):
        sink.send(topic, f"s{number}", b"v%d" % number)
    sink.flush(30.0)
    source = KafkaSource(settings, [topic], lambda _: {})
    found: list[Record] = []

    def all_read_and_drained() -> bool:
        found.extend(source.poll(0.2, 100))
        known = source.progress()
        parts = {Partition(topic=topic, index=index) for index in (0, 1)}
        return len(found) == 50 and parts == {p for p, at in known.items() if at.drained}

    until(all_read_and_drained)
    assert {record.value for record in found} == {b"v%d" % number for number in range(50)}
    source.close()
    sink.close()


@pytest.mark.parametrize("how", ["PLAIN", "SCRAM-SHA-512"])
def test_a_wrong_password_is_told_without_it(secured: KafkaSecurity, how: str) -> None:
    """The error names the broker, the keys and what it said; nothing waits for ever."""
    settings = settings_of(secured, how, "not the password")
    with pytest.raises(Refused, match=rf"kafka at {secured.sasl}: .*sasl_plain_password") as told:
        KafkaSource(settings, ["events"], lambda _: {})
    assert "not the password" not in str(told.value)


def test_a_certificate_that_is_not_trusted_is_refused(
    secured: KafkaSecurity, tmp_path_factory: pytest.TempPathFactory
) -> None:
    """Nobody reads from a broker that cannot prove itself."""
    other = KafkaSecurity(tmp_path_factory.mktemp("other"))
    other.secured("listeners=a\nadvertised.listeners=b\nlistener.security.protocol.map=c")
    other.tls = secured.tls
    with pytest.raises(Refused, match=rf"kafka at {secured.tls}: CERTIFICATE_VERIFY_FAILED"):
        KafkaSource(settings_of(other, "TLS"), ["events"], lambda _: {})


REFUSED: dict[str, tuple[str, dict[str, str], str]] = {
    "password": ("sasl", {"sasl_plain_password": "no"}, "sasl_plain_username, sasl_plain_password"),
    "mechanism": ("sasl", {"sasl_mechanism": "SCRAM-SHA-256"}, "sasl_mechanism"),
    "protocol": ("tls", {}, "security_protocol"),
    "certificate": ("both", {"security_protocol": "SSL"}, "ssl_certfile"),
    "authority": ("tls", {"ssl_cafile": "{other}"}, "ssl_cafile"),
}


@pytest.mark.parametrize("what", REFUSED)
def test_a_start_that_the_broker_refuses_ends_with_2(
    secured: KafkaSecurity,
    what: str,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """One line names the key, and no unit tries again: a broker that is there is not away."""
    listener, changed, key = REFUSED[what]
    other = tmp_path / "other.pem"
    command = ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-subj", "/CN=other"]
    command += ["-keyout", str(tmp_path / "key.pem"), "-out", str(other)]
    subprocess.run(command, check=True, capture_output=True)
    security = {
        "security_protocol": "SASL_SSL",
        "ssl_cafile": str(secured.certificate),
        "sasl_mechanism": "PLAIN",
        "sasl_plain_username": USER,
        "sasl_plain_password": PASSWORD,
        **{name: value.format(other=other) for name, value in changed.items()},
    }
    lines = [f"{name} = {json.dumps(value)}" for name, value in security.items()]
    config = tmp_path / "rlwd.toml"
    config.write_text(
        f'[http]\nport = {free_port()}\n[learner]\nmodel = "base"\n[stream]\nkind = "kafka"\n'
        f'[stream.kafka]\nbootstrap_servers = ["{getattr(secured, listener)}"]\n'
        "connect_seconds = 5.0\n[stream.kafka.security]\n" + "\n".join(lines)
    )
    monkeypatch.setattr(sys, "argv", ["rlwd", "run", "--config", str(config)])
    with pytest.raises(SystemExit) as end:
        main()
    said = [line for line in capsys.readouterr().err.splitlines() if not line.startswith("{")]
    assert (end.value.code, len(said)) == (2, 1), said
    assert f"stream.kafka.security.{key}" in said[0]
    assert getattr(secured, listener) in said[0]
    assert PASSWORD not in said[0]


def test_a_client_that_proves_itself_is_let_in(secured: KafkaSecurity) -> None:
    """The listener that asks for a certificate takes the right one: what is refused is the wrong one."""
    trust: dict[str, str | bool] = {"ssl_cafile": str(secured.certificate)}
    own: dict[str, str | bool] = {"ssl_certfile": str(secured.keystore)}
    settings = KafkaSettings(
        bootstrap_servers=(secured.both,), security={"security_protocol": "SSL", **trust, **own}
    )
    create_topics(settings, [f"events-{uuid.uuid4().hex[:8]}"])


def test_a_listener_that_speaks_otherwise_is_told_as_away(secured: KafkaSecurity) -> None:
    """Nothing on it says that it refuses us, so it is tried again; the line asks what may be wrong."""
    settings = KafkaSettings(bootstrap_servers=(secured.tls,), connect_seconds=2.0)
    with pytest.raises(ConnectionError, match="does that listener speak PLAINTEXT") as told:
        create_topics(settings, ["events"])
    assert not isinstance(told.value, Refused)


def test_a_topic_that_is_missing_is_named(secured: KafkaSecurity) -> None:
    """With where it was looked for and what to do; a reader of nothing would wait for ever."""
    there, gone = f"events-{uuid.uuid4().hex[:8]}", f"gone-{uuid.uuid4().hex[:8]}"
    settings = settings_of(secured, "TLS")
    create_topics(settings, [there])
    says = rf"kafka at {secured.tls}: topic {gone} is missing, or hidden .*: create it"
    with pytest.raises(ValueError, match=says):
        KafkaSource(settings, [there, gone], lambda _: {})


@pytest.mark.parametrize("operation", ["READ", "DESCRIBE"])
def test_a_topic_that_may_not_be_read_is_named(secured: KafkaSecurity, operation: str) -> None:
    """Whether the broker shows it or hides it, the line says what to grant."""
    topic = f"events-{uuid.uuid4().hex[:8]}"
    create_topics(settings_of(secured, "TLS"), [topic], partitions=1)
    admin = KafkaAdminClient(**settings_of(secured, "TLS").connection())
    rule = ACL(
        principal=f"User:{USER}",
        host="*",
        operation=ACLOperation[operation],
        permission_type=ACLPermissionType.DENY,
        resource_pattern=ResourcePattern(ResourceType.TOPIC, topic),
    )
    admin.create_acls([rule])
    admin.close()

    def read() -> None:
        source = KafkaSource(settings_of(secured, "PLAIN"), [topic], lambda _: {})
        try:
            while True:
                source.poll(0.2, 100)
        finally:
            source.close()

    with pytest.raises(ValueError, match=rf"kafka.*{topic}.*READ"):
        read()
