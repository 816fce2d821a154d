"""A certificate and users for a test's broker: TLS, and SASL over it with PLAIN and SCRAM."""

import subprocess
from pathlib import Path

from rlwd.ops.servers.process import LOOPBACK, free_port

USER, PASSWORD = "rlwd", "a secret of the tests"

_LISTENERS = """\
listeners={plain},TLS://{host}:{tls_port},SASL://{host}:{sasl_port},BOTH://{host}:{both_port}
advertised.listeners={advertised},TLS://{host}:{tls_port},SASL://{host}:{sasl_port},BOTH://{host}:{both_port}
listener.security.protocol.map={protocols},TLS:SSL,SASL:SASL_SSL,BOTH:SSL
listener.name.both.ssl.client.auth=required
listener.name.both.ssl.truststore.type=PEM
listener.name.both.ssl.truststore.location={certificate}
ssl.keystore.type=PEM
ssl.keystore.location={keystore}
listener.name.sasl.sasl.enabled.mechanisms=PLAIN,SCRAM-SHA-512
listener.name.sasl.plain.sasl.jaas.config=org.apache.kafka.common.security.plain.PlainLoginModule \
required user_{user}="{password}";
listener.name.sasl.scram-sha-512.sasl.jaas.config=\
org.apache.kafka.common.security.scram.ScramLoginModule required;
authorizer.class.name=org.apache.kafka.metadata.authorizer.StandardAuthorizer
super.users=User:ANONYMOUS
allow.everyone.if.no.acl.found=true
"""


class KafkaSecurity:
    """Made for one broker; `certificate` is what its clients trust, `keystore` a client's own, too.

    Who comes over TLS alone may do everything, and the user of SASL what no rule forbids.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.tls_port, self.sasl_port, self.both_port = free_port(), free_port(), free_port()
        self.both = f"{LOOPBACK}:{self.both_port}"
        self.tls, self.sasl = f"{LOOPBACK}:{self.tls_port}", f"{LOOPBACK}:{self.sasl_port}"
        self.certificate, self.keystore = folder / "certificate.pem", folder / "keystore.pem"

    @property
    def format_arguments(self) -> list[str]:
        """What the storage tool is told, so that SCRAM's user is there from the beginning."""
        return ["--add-scram", f"SCRAM-SHA-512=[name={USER},password={PASSWORD}]"]

    def secured(self, properties: str) -> str:
        """Return a broker's properties with listeners for TLS and SASL beside its own."""
        lines = dict(line.split("=", 1) for line in properties.splitlines())
        added = _LISTENERS.format(
            host=LOOPBACK,
            plain=lines.pop("listeners"),
            advertised=lines.pop("advertised.listeners"),
            protocols=lines.pop("listener.security.protocol.map"),
            tls_port=self.tls_port,
            sasl_port=self.sasl_port,
            both_port=self.both_port,
            keystore=self._made_keystore(),
            certificate=self.certificate,
            user=USER,
            password=PASSWORD,
        )
        return "\n".join(f"{key}={value}" for key, value in lines.items()) + "\n" + added

    def _made_keystore(self) -> Path:
        """Make a key and a certificate for this host's loopback; return the file of both."""
        key, both = self.folder / "key.pem", self.keystore
        command = ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2"]
        command += ["-subj", "/CN=rlwd tests", "-addext", f"subjectAltName=IP:{LOOPBACK}"]
        command += ["-keyout", str(key), "-out", str(self.certificate)]
        subprocess.run(command, check=True, capture_output=True)
        both.write_bytes(key.read_bytes() + self.certificate.read_bytes())
        both.chmod(0o600)
        return both
