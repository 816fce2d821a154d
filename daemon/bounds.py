"""Bounds: what each value of the config may be; one that is out of them is named by its path."""

import ipaddress
import re
from collections.abc import Callable, Iterator, Mapping
from typing import Any
from urllib.parse import urlsplit

from .number_bounds import NUMBERS

PATHS = {
    *("state", "erasures", "parent", "reward_spec"),
    "gate.planted",
    "gate.probes",
    "stream.data_folder",
    "stream.file",
    "learner.model",
    "learner.drift.probes",
    "learner.replay.texts",
    "triage.logs",
    "router.folder",
    "gateway.flags",
    "gateway.spool",
}
OPTIONAL_URLS = {
    "gateway.flags_url",
    "learner.service.url",
    "mlflow.tracking_uri",
    "satisfaction.judge.url",
    "telemetry.otlp_endpoint",
}
ENGINES = {"engine.urls", "gateway.engines"}
URLS = {*ENGINES, *OPTIONAL_URLS}
TOPICS = {
    "stream.generations",
    "stream.feedback",
    "stream.dead_letters",
    "gateway.generations_topic",
    "gateway.feedback_topic",
}
NAMES = {"policy", "gateway.policy", "gateway.name"}
HOSTS = {"http.host", "gateway.host", "router.host"}
SERVERS = {"stream.kafka.bootstrap_servers"}
WORDS = {"router.arguments", "router.devices"}
OTHERS = {"http.user_header", "http.proxies", "http.names", *WORDS}
KAFKA_NAMES = {"stream.kafka.group_id", "stream.kafka.group_instance_id"}
CALLED = {"gateway.model", "mlflow.experiment", "satisfaction.judge.model"}
"""What others call something: any words of one line."""
NEVER_EMPTY = {"gateway.model", "stream.kafka.group_id"}
ORIGINS = {"gateway.allowed_origins", "clients.NAME.allowed_origins"}
MARK = "left-out-of-the-backup"
"""Stands in a backup's copy of the config where a secret stood; whoever reads our source knows it."""
REQUIRED = {"state", "gateway.flags", "gateway.spool"}
MOST_PATH, MOST_PART, MOST_URL, MOST_CALLED = 4095, 255, 2000, 200
"""Bytes of a path and of each name in it, as Linux takes them; characters of a URL, and of a name."""


def check_values(written: Mapping[str, Any]) -> None:
    """Raise ValueError with the path of the first value in a config file that is out of bounds.

    What has a wrong type or an unknown key is left to whoever reads the file's structure.
    """
    for path, value in values(written):
        key = _key(path)
        if isinstance(value, int | float) and not isinstance(value, bool) and key in NUMBERS:
            _check_number(key, path, value)
        if isinstance(value, str):
            if MARK in value:
                raise ValueError(f"{path}: was left out of a backup: put the secret there again")
            for keys, check in _TEXTS:
                if key in keys:
                    check(path, value)


def check_once(key: str, urls: tuple[str, ...]) -> None:
    """Raise ValueError where an engine stands twice in a list: it would count for two."""
    bare = [one.rstrip("/") for one in urls]
    for one in bare:
        if bare.count(one) > 1:
            raise ValueError(f"{key}: {one} stands there twice")


def values(written: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    """Yield every value with its path; those of a list one by one, as `engine.urls[0]`."""
    for key, value in written.items():
        if isinstance(value, Mapping):
            yield from values(value, f"{prefix}{key}.")
        elif isinstance(value, list):
            yield from _listed(value, f"{prefix}{key}")
        else:
            yield f"{prefix}{key}", value


def _listed(each: list[Any], path: str) -> Iterator[tuple[str, Any]]:
    for number, one in enumerate(each):
        if isinstance(one, Mapping):
            yield from values(one, f"{path}[{number}].")
        else:
            yield f"{path}[{number}]", one


def _key(path: str) -> str:
    """Return the key as the lists here name it, without numbers and names of one's own."""
    plain = re.sub(r"\[\d+\]", "", path)
    return re.sub(r"^(clients|specialists|profile\.segments)\..+\.", r"\1.NAME.", plain)


def _check_number(key: str, path: str, value: float) -> None:
    least, most = NUMBERS[key]
    # A comparison with nan is false.
    if not least <= value <= most:
        raise ValueError(f"{path}: {value} is not between {least:g} and {most:g}")


def _check_path(path: str, value: str) -> None:
    if re.match(r"[A-Za-z][A-Za-z0-9+.-]*:(//|/?$)|file:", value):
        raise ValueError(f"{path}: {value!r} is an address, and a path is needed")
    if value.startswith(("~", "$")):
        raise ValueError(f"{path}: {value!r}: neither ~ nor $NAME is read here: write the path out")
    if any(ord(letter) < 32 for letter in value):
        raise ValueError(f"{path}: {value!r} holds a control character, which no path may")
    if not value and path in REQUIRED:
        raise ValueError(f"{path}: is empty")
    parts = [len(part.encode()) for part in value.split("/")]
    if len(value.encode()) > MOST_PATH or max(parts) > MOST_PART:
        raise ValueError(
            f"{path}: is too long: {MOST_PATH} bytes at most, {MOST_PART} in each name of it"
        )


def _check_url(path: str, value: str) -> None:
    if not value and path in OPTIONAL_URLS:
        return
    if len(value) > MOST_URL:
        raise ValueError(f"{path}: is too long: {MOST_URL} characters at most")
    try:
        url = urlsplit(value)
        port = url.port
    except ValueError as problem:
        raise ValueError(f"{path}: {value!r}: {problem}") from None
    if url.username is not None or url.query or url.fragment or re.search(r"[\s\x00-\x1f]", value):
        raise ValueError(f"{path}: only scheme, host, port and path go here; a key goes into token")
    if url.scheme not in ("http", "https") or not url.hostname or port == 0:
        raise ValueError(f"{path}: {value!r} is not http://HOST:PORT")


def _check_engine(path: str, value: str) -> None:
    _check_url(path, value)
    if re.search(r"/v1(/(chat/completions|completions|models|responses|messages))?/*$", value):
        raise ValueError(f"{path}: {value!r}: leave out what begins with /v1: it is added")


def _check_origin(path: str, value: str) -> None:
    try:
        url = urlsplit(value)
        wrong = url.port == 0 or not url.hostname or url.username is not None or bool(url.path)
    except ValueError:
        wrong = True
    if wrong:
        raise ValueError(f"{path}: {value!r} is not scheme://host[:port]")


def check_kafka_name(path: str, value: str) -> None:
    """Raise ValueError, with the path, for what brokers take for no name of a group or member."""
    if not value and path not in NEVER_EMPTY:
        return
    # As Kafka's brokers have names of members; of groups they would take more.
    if not re.fullmatch(r"[A-Za-z0-9._-]{1,249}", value):
        raise ValueError(f"{path}: {value!r}: letters, digits, . _ and -, 1 to 249 of them")


def _check_called(path: str, value: str) -> None:
    if not value.isprintable() or len(value) > MOST_CALLED:
        raise ValueError(f"{path}: {value[:MOST_CALLED]!r}: one line of {MOST_CALLED} at most")
    if path in NEVER_EMPTY and not value.strip():
        raise ValueError(f"{path}: is empty")


def _check_topic(path: str, value: str) -> None:
    # As Kafka's brokers have it.
    if not re.fullmatch(r"[A-Za-z0-9._-]{1,249}", value) or value in (".", ".."):
        raise ValueError(f"{path}: {value!r} is no topic: letters, digits, . _ and -, 249 at most")


def _check_name(path: str, value: str) -> None:
    # It is part of file names, flag keys and the versions that clients see.
    if not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9._-]{0,99}", value):
        raise ValueError(
            f"{path}: {value!r} is no name: a letter or digit, then those, . _ and -, 100 at most"
        )


def _check_host(path: str, value: str) -> None:
    if not re.fullmatch(r"[A-Za-z0-9.:%_-]{1,255}", value):
        raise ValueError(f"{path}: {value!r} is no host name or address")


def _check_server(path: str, value: str) -> None:
    host, _, port = value.rpartition(":")
    if not host or not port.isdecimal() or not 1 <= int(port) <= 65535:
        raise ValueError(f"{path}: {value!r} is not HOST:PORT with a port from 1 to 65535")
    _check_host(path, host.strip("[]"))


def _check_header(path: str, value: str) -> None:
    if value and not re.fullmatch(r"[A-Za-z0-9-]{1,100}", value):
        raise ValueError(f"{path}: {value!r} is no name of a header")


def _check_address(path: str, value: str) -> None:
    try:
        ipaddress.ip_address(value)
    except ValueError:
        raise ValueError(f"{path}: {value!r} is no IP address") from None


def _check_word(path: str, value: str) -> None:
    if not value or not value.isprintable() or len(value) > MOST_CALLED:
        raise ValueError(
            f"{path}: {value[:MOST_CALLED]!r}: 1 to {MOST_CALLED} printable characters"
        )


def _check_asked(path: str, value: str) -> None:
    if not re.fullmatch(r"[A-Za-z0-9_-]+(\.[A-Za-z0-9_-]+)*", value) or len(value) > 253:
        raise ValueError(f"{path}: {value!r} is no host name, without https:// and port")


_TEXTS: tuple[tuple[set[str], Callable[[str, str], None]], ...] = (
    (PATHS, _check_path),
    (OPTIONAL_URLS, _check_url),
    (ENGINES, _check_engine),
    (ORIGINS, _check_origin),
    (KAFKA_NAMES, check_kafka_name),
    (CALLED, _check_called),
    (TOPICS, _check_topic),
    (NAMES, _check_name),
    (HOSTS, _check_host),
    (SERVERS, _check_server),
    ({"http.user_header"}, _check_header),
    ({"http.proxies"}, _check_address),
    ({"http.names"}, _check_asked),
    (WORDS, _check_word),
)
