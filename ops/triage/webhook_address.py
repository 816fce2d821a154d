"""Webhook address: what may stand for the place that issues are posted to."""

import re
from urllib.parse import urlsplit

MOST_URL = 2000


def check_address(key: str, address: str) -> None:
    """Raise ValueError with the key, and never with the address, which may be a secret.

    >>> check_address("webhook", "https://issues.example/api?project=7")
    """
    try:
        url = urlsplit(address)
        port = url.port
    except ValueError:
        raise ValueError(f"{key}: is no URL") from None
    if len(address) > MOST_URL or re.search(r"[\s\x00-\x1f\x7f]", address):
        raise ValueError(f"{key}: is too long, or holds a blank or a control character")
    if url.scheme not in ("http", "https") or not url.hostname or port == 0:
        raise ValueError(f"{key}: is not http://HOST/PATH or https://HOST/PATH")
    if url.username is not None or url.fragment:
        raise ValueError(f"{key}: a name or a password goes into token, and nothing behind #")
