"""Kafka refusal: whether a broker lets us not in, and by which key of the config; asked before the client is.

kafka-python 3.0.12 gives up what a broker said where it hangs up after it, and reports of a refused
password, mechanism or certificate that it could not connect in time. So we log in once by ourselves, by
Kafka's protocol: a request each for the mechanism and for every step of it.
"""

import re
import socket
import ssl
import struct
from collections.abc import Mapping

_KEY = "stream.kafka.security"
_API_VERSIONS, _SASL_HANDSHAKE, _SASL_AUTHENTICATE = 18, 17, 36
_UNSUPPORTED_MECHANISM, _ILLEGAL_STATE = 33, 34
_MOST_BYTES = 1 << 20
_TRIED = ("PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512")
"""Mechanisms whose steps are gone through here; of others we ask only whether the broker offers them."""
_OURS = re.compile(r"alert.*(certificate|unknown ca)", re.IGNORECASE)
"""How TLS says that the other side does not take our certificate, or that it wants one."""

Security = Mapping[str, str | bool]


def refusal(connected: socket.socket, security: Security) -> str | None:
    """Log in over a connection; return the key by which the broker refuses us and what to do.

    None where it takes us, or says nothing of it: it is slow, hangs up or is no Kafka.
    """
    try:
        if str(security.get("security_protocol", "")).upper().startswith("SASL"):
            return _login(connected, security)
        _asked(connected, _API_VERSIONS, 0, b"")
    except ssl.SSLError as problem:
        if _OURS.search(str(problem)):
            why = problem.reason or str(problem)
            return f"{_KEY}.ssl_certfile: {why}: the broker does not accept it, or wants one"
    except (OSError, struct.error):
        pass
    return None


def _login(connected: socket.socket, security: Security) -> str | None:
    mechanism = str(security.get("sasl_mechanism", ""))
    told = _asked(connected, _SASL_HANDSHAKE, 1, _text(mechanism))
    (code,) = struct.unpack_from(">h", told)
    if code == _ILLEGAL_STATE:
        return f"{_KEY}.security_protocol: that listener takes no SASL: correct it, or the port"
    if code == _UNSUPPORTED_MECHANISM:
        return f"{_KEY}.sasl_mechanism: that listener does not offer {mechanism}: correct it"
    if code or mechanism not in _TRIED:
        return None
    return _steps(connected, {**security, "sasl_mechanism": mechanism})


def _steps(connected: socket.socket, security: Security) -> str | None:
    # Imported here: settings can be read without the client.
    from kafka.net.sasl import get_sasl_mechanism

    keys = f"{_KEY}.sasl_plain_username, sasl_plain_password"
    if missing := [key for key in ("username", "password") if f"sasl_plain_{key}" not in security]:
        return f"{keys}: {', '.join(missing)} is missing"
    # The client's own warning of what goes in the clear is given by the client.
    quiet = {key: value for key, value in security.items() if key != "security_protocol"}
    login = get_sasl_mechanism(str(security["sasl_mechanism"]))(**quiet)
    while not login.is_done():
        step = login.auth_bytes()
        told = _asked(connected, _SASL_AUTHENTICATE, 0, struct.pack(">i", len(step)) + step)
        code, length = struct.unpack_from(">hh", told)
        said = told[4 : 4 + max(length, 0)].decode(errors="replace")
        if code:
            return f"{keys}: {said or f'error {code}'}: correct them, or the user at the broker"
        (size,) = struct.unpack_from(">i", told, 4 + max(length, 0))
        login.receive(told[8 + max(length, 0) :][: max(size, 0)])
    return None


def _asked(connected: socket.socket, api: int, version: int, body: bytes) -> bytes:
    """Send one request and return the answer's body; raises OSError where none comes."""
    request = struct.pack(">hhi", api, version, 1) + _text("rlwd") + body
    connected.sendall(struct.pack(">i", len(request)) + request)
    (size,) = struct.unpack(">i", _read(connected, 4))
    if not 4 <= size <= _MOST_BYTES:
        raise ConnectionError(f"an answer of {size} bytes is none of Kafka's")
    return _read(connected, size)[4:]


def _text(value: str) -> bytes:
    return struct.pack(">h", len(value.encode())) + value.encode()


def _read(connected: socket.socket, size: int) -> bytes:
    found = b""
    while len(found) < size:
        more = connected.recv(size - len(found))
        if not more:
            raise ConnectionError("it hung up")
        found += more
    return found
