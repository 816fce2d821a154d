"""Signed flags: the flag document as it goes over a network, with the proof of who wrote it.

The body is the flag file's own text, so that a flagd that polls over HTTP reads it too. Our gateways
act on nothing without the proof: whoever could write flags would choose what people are served.
"""

import hmac
from collections.abc import Mapping
from typing import NamedTuple

import orjson

from .flag_file import render_flags
from .flag_state import FlagState, to_document, to_state

GENERATION, SIGNATURE = "X-Rlwd-Flag-Generation", "X-Rlwd-Flag-Signature"
"""Headers of an answer that holds flags."""
KEY_CHARACTERS = 16
"""Fewest of a key: it is made by chance, as `openssl rand -hex 32` does."""
MOST_BYTES = 1 << 20
"""Largest document."""


class SignedFlags(NamedTuple):
    """A flag document and its proof."""

    generation: int
    """Generation of the document."""
    body: bytes
    """The document, as the flag file has it."""
    signature: str
    """HMAC-SHA256 over both, hex; it names the content too, and so is its ETag."""


def check_key(name: str, key: str) -> bytes:
    """Return a key's bytes; raises ValueError with its name where it is too short to be a secret."""
    if len(key) < KEY_CHARACTERS:
        raise ValueError(f"{name}: must have {KEY_CHARACTERS} characters or more")
    return key.encode()


def asking_token(key: bytes) -> str:
    """Return the bearer token by which a holder of the key may ask for flags, and for nothing else."""
    return hmac.digest(key, b"rlwd flags ask v1", "sha256").hex()


def sign_flags(state: FlagState, key: bytes) -> SignedFlags:
    """Return a state's document with its proof."""
    body = render_flags(to_document(state))
    return SignedFlags(state.generation, body, _signature(state.generation, body, key))


def check_flags(
    headers: Mapping[str, str], body: bytes, key: bytes, policy: str
) -> tuple[FlagState, str]:
    """Return what a document says and its signature.

    Raises ValueError, and nothing of the document may be used, where the signature is missing or
    not of this generation and content, or where it is another policy's.
    """
    signature, written = headers.get(SIGNATURE, ""), headers.get(GENERATION, "")
    if not signature or not (written.isascii() and written.isdecimal()) or len(written) > 18:
        raise ValueError(f"not signed: {SIGNATURE} or {GENERATION} is missing or no such thing")
    if not hmac.compare_digest(signature.encode(), _signature(int(written), body, key).encode()):
        raise ValueError(
            "the signature is wrong: http.flags_key is not gateway.flags_key, or forged"
        )
    state = to_state(orjson.loads(body))
    if state.generation != int(written):
        raise ValueError(f"generation {state.generation} is signed as {written}")
    if state.policy != policy:
        raise ValueError(f"policy is {state.policy!r} and not {policy!r}")
    return state, signature


def _signature(generation: int, body: bytes, key: bytes) -> str:
    return hmac.digest(key, b"rlwd flags v1\0%d\0" % generation + body, "sha256").hex()
