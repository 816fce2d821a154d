"""Kafka security: what may stand in `[stream.kafka.security]`, and the TLS that follows from it."""

import contextlib
import ssl
from collections.abc import Iterator, Mapping
from pathlib import Path

PROTOCOLS = ("PLAINTEXT", "SSL", "SASL_PLAINTEXT", "SASL_SSL")
MECHANISMS = ("PLAIN", "GSSAPI", "OAUTHBEARER", "SCRAM-SHA-256", "SCRAM-SHA-512")
FILES = ("ssl_cafile", "ssl_certfile", "ssl_keyfile", "ssl_crlfile")
TEXTS = (
    *("security_protocol", "sasl_mechanism", "ssl_password", *FILES),
    *("sasl_plain_username", "sasl_plain_password", "sasl_kerberos_name"),
    *("sasl_kerberos_service_name", "sasl_kerberos_domain_name"),
)


def check_security(path: str, key: str, value: str | bool) -> None:
    """Raise ValueError with the path where a key is none of the client's, or no such value is."""
    if key == "ssl_check_hostname":
        if not isinstance(value, bool):
            raise ValueError(f"{path}: must be true or false")
        return
    if key not in TEXTS:
        raise ValueError(
            f"{path}: only security_protocol, ssl_* and sasl_* go here, and of these"
            f" {', '.join((*TEXTS, 'ssl_check_hostname'))}"
        )
    if not isinstance(value, str):
        raise ValueError(f"{path}: must be a text")
    known = {"security_protocol": PROTOCOLS, "sasl_mechanism": MECHANISMS}.get(key)
    if known and not value.startswith(("$", "file:")) and value.upper() not in known:
        raise ValueError(f"{path}: {value!r} is none of {', '.join(known)}")


def tls_context(security: Mapping[str, str | bool]) -> ssl.SSLContext | None:
    """Return how a broker proves itself, and we to it; None without TLS.

    Raises ValueError with the key whose file is not there, or holds something else.
    """
    if str(security.get("security_protocol", "")).upper() not in ("SSL", "SASL_SSL"):
        return None
    for key in FILES:
        if path := security.get(key):
            _check_file(key, Path(str(path)))
    trusted = security.get("ssl_cafile")
    with _holding("ssl_cafile", trusted or "", "certificate"):
        context = ssl.create_default_context(cafile=str(trusted) if trusted else None)
    context.check_hostname = bool(security.get("ssl_check_hostname", True))
    if certificate := security.get("ssl_certfile"):
        private, password = security.get("ssl_keyfile"), security.get("ssl_password")
        with _holding("ssl_certfile", certificate, "certificate with its key"):
            context.load_cert_chain(
                str(certificate),
                str(private) if private else None,
                str(password) if password else None,
            )
    return context


def _check_file(key: str, path: Path) -> None:
    try:
        with path.open("rb"):
            pass
    except OSError as problem:
        raise ValueError(f"stream.kafka.security.{key}: {path}: {problem.strerror}") from None


@contextlib.contextmanager
def _holding(key: str, path: str | bool, what: str) -> Iterator[None]:
    try:
        yield
    except ssl.SSLError as problem:
        raise ValueError(
            f"stream.kafka.security.{key}: {path}: holds no {what} (PEM):"
            f" {problem.reason or problem}"
        ) from None
