"""KafkaServer: one Apache Kafka broker in KRaft mode on loopback, for tests, demos and trials."""

import base64
import contextlib
import os
import secrets
import shutil
import socket
import subprocess
from collections.abc import Iterable
from pathlib import Path

from kafka_security import KafkaSecurity

from rlwd.ops.servers.process import LOOPBACK, Server, free_port

FETCH = Path(__file__).with_name("fetch_kafka.sh")

_PROPERTIES = """\
process.roles=broker,controller
node.id=1
controller.quorum.voters=1@{host}:{controller_port}
controller.listener.names=CONTROLLER
listeners=CLIENT://{host}:{port},DETOUR://{host}:{detour_port},CONTROLLER://{host}:{controller_port}
advertised.listeners=CLIENT://{host}:{port},DETOUR://{host}:{detour}
inter.broker.listener.name=CLIENT
listener.security.protocol.map=CLIENT:PLAINTEXT,DETOUR:PLAINTEXT,CONTROLLER:PLAINTEXT
log.dirs={data}
num.partitions=4
auto.create.topics.enable=false
offsets.topic.replication.factor=1
offsets.topic.num.partitions=4
transaction.state.log.replication.factor=1
transaction.state.log.min.isr=1
transaction.state.log.num.partitions=4
share.coordinator.state.topic.replication.factor=1
share.coordinator.state.topic.min.isr=1
group.initial.rebalance.delay.ms=0
group.min.session.timeout.ms=1000
broker.heartbeat.interval.ms=500
broker.session.timeout.ms=4000
"""

_LOGGING = """\
status=error
appender.out.type=Console
appender.out.name=out
appender.out.layout.type=PatternLayout
appender.out.layout.pattern=%d %p %c{1} %m%n
rootLogger.level=warn
rootLogger.appenderRef.out.ref=out
"""


class KafkaMissing(RuntimeError):
    """Kafka cannot be had here; the message says what to install."""


def kafka_jars() -> Path:
    """Return the folder of Kafka's jars, fetching them through Maven where they are not cached.

    Raises KafkaMissing, which says what to install.
    """
    found = subprocess.run(["bash", str(FETCH)], capture_output=True, text=True, check=False)
    if found.returncode != 0:
        raise KafkaMissing(found.stderr.strip())
    return Path(found.stdout.strip().splitlines()[-1])


class KafkaServer(Server):
    """A broker that keeps its data in `folder` and its ports over kill() and start().

    >>> with KafkaServer(tmp_path) as server:
    ...     server.create_topics(["rlwd.generations"], partitions=4)
    ...     KafkaSettings(bootstrap_servers=(server.bootstrap,), ...)
    """

    def __init__(
        self,
        folder: Path,
        *,
        port: int | None = None,
        detour: int | None = None,
        security: KafkaSecurity | None = None,
    ) -> None:
        """`detour` is the port of a proxy to which clients of `detour_port` are sent on."""
        self.folder, self.detour_port = folder, free_port()
        self._detour = detour or self.detour_port
        self.port, self._controller_port = port or free_port(), free_port()
        self.bootstrap = f"{LOOPBACK}:{self.port}"
        self.security = security
        super().__init__(
            [],
            name="kafka",
            log=folder / "kafka.log",
            healthy=self._listens,
            # Nothing may reach for a terminal's or another Kafka's settings.
            environment={"CLASSPATH": ""},
            start_seconds=90.0,
        )

    def spawn(self) -> None:
        """Start the broker without waiting for it; format its folder where that is new."""
        if not self.command:
            self._prepare()
        super().spawn()

    def _prepare(self) -> None:
        jars = kafka_jars()
        java = shutil.which("java")
        if java is None:
            raise KafkaMissing("kafka: 'java' is missing; install Java 17 or newer")
        self.folder.mkdir(parents=True, exist_ok=True)
        properties, logging = self.folder / "server.properties", self.folder / "log4j2.properties"
        written = _PROPERTIES.format(
            host=LOOPBACK,
            port=self.port,
            detour_port=self.detour_port,
            detour=self._detour,
            controller_port=self._controller_port,
            data=self.folder / "data",
        )
        properties.write_text(self.security.secured(written) if self.security else written)
        logging.write_text(_LOGGING)
        # Small, since it shares a laptop; the JIT stops at its first stage, which halves the start.
        flags = ["-Xmx384m", "-Xms128m", "-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1"]
        flags += [f"-Dlog4j2.configurationFile={logging}"]
        base = [java, *flags, "-cp", f"{jars}{os.sep}*"]
        tool = [*base, "kafka.tools.StorageTool"]
        if not (self.folder / "data" / "meta.properties").exists():
            # As its own tool makes one, which is a Java of its own: 16 random bytes.
            cluster = base64.urlsafe_b64encode(b"r" + secrets.token_bytes(15)).decode().rstrip("=")
            users = self.security.format_arguments if self.security else []
            subprocess.run(
                [*tool, "format", "-t", cluster, "-c", str(properties), *users],
                capture_output=True,
                check=True,
            )
        self.command = [*base, "kafka.Kafka", str(properties)]

    def _listens(self) -> bool:
        with contextlib.suppress(OSError), socket.create_connection((LOOPBACK, self.port), 1.0):
            return True
        return False

    def create_topics(self, names: Iterable[str], partitions: int = 4) -> None:
        """Create topics; one that exists keeps its number of partitions."""
        # Imported here: a server without topics to make needs no client.
        from kafka.admin import KafkaAdminClient

        admin = KafkaAdminClient(bootstrap_servers=self.bootstrap)
        try:
            existing = set(admin.list_topics())
            wanted = {
                name: {"num_partitions": partitions, "replication_factor": 1}
                for name in names
                if name not in existing
            }
            if wanted:
                admin.create_topics(wanted, wait_for_metadata=True)
        finally:
            admin.close()
