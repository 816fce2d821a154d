"""Credentials: bearer tokens, read and compared in one place for all of our servers."""

import base64
import hashlib
import hmac


def bearer_token(authorization: str) -> str:
    """Return the token of an Authorization header; empty where it is none of the Bearer scheme.

    >>> bearer_token("bearer abc"), bearer_token("abc"), bearer_token("Basic abc")
    ('abc', '', '')
    """
    scheme, _, token = authorization.strip().partition(" ")
    return token.strip() if scheme.lower() == "bearer" else ""


def basic_password(authorization: str) -> str:
    """Return the password of an Authorization header; empty where it is none of the Basic scheme.

    >>> basic_password("Basic YW55Ym9keTphYmM="), basic_password("Bearer abc"), basic_password("Basic ?")
    ('abc', '', '')
    """
    scheme, _, encoded = authorization.strip().partition(" ")
    if scheme.lower() != "basic":
        return ""
    try:
        return base64.b64decode(encoded.strip(), validate=True).decode().partition(":")[2]
    except ValueError:
        return ""


def same_token(given: str, expected: str) -> bool:
    """Compare in a time that tells nothing; `given` may hold bytes that are no text."""
    return hmac.compare_digest(
        given.encode("utf-8", "surrogatepass"), expected.encode("utf-8", "surrogatepass")
    )


def hash_token(token: str) -> str:
    """Return how a token stands in a configuration: `sha256:` and 64 hex digits.

    Tokens are made by chance and long, so a plain hash is as good as a slow one.
    """
    return f"sha256:{hashlib.sha256(token.encode('utf-8', 'surrogatepass')).hexdigest()}"
