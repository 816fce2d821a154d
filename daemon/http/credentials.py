"""Credentials: bearer tokens, read and compared in one place for all of our servers."""

import hashlib
import hmac


def bearer_token(authorization: str) -> str:
    """Return the token of an Authorization header; empty where it is none of the Bearer scheme.

    >>> bearer_token("bearer abc"), bearer_token("abc"), bearer_token("Basic abc")
    ('abc', '', '')
    """
    scheme, _, token = authorization.strip().partition(" ")
    return token.strip() if scheme.lower() == "bearer" else ""


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
