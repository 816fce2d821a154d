"""Turn: a generation in its session, as far as the turns after it need to know it."""

import hashlib
import struct
from collections.abc import Iterable, Mapping
from typing import NamedTuple, Protocol

from ..events.generation import SHADOW, Generation
from ..events.input_message import answer_digest

WIDTH = struct.calcsize("i")
"""Bytes of one token."""
LOOKED, REDACTED, UNREAD = 0, 1, 2
"""Its writer looked at all that the model read, and found nothing; something was replaced, in it or
before it; nobody could look at what stands before its own texts."""
UNKNOWN = -1
"""Earlier answers of a turn whose record does not hold its input."""


class Turn(NamedTuple):
    """What a session knows of one of its generations."""

    generation_id: str
    """Which."""
    received: float
    """When its record was received, epoch seconds."""
    version: str
    """The version that answered; empty where unknown."""
    prompt: int
    """Tokens of its prompt."""
    length: int
    """Tokens of prompt and completion."""
    digest: bytes
    """Digest of those; empty where they are not known."""
    said: str
    """`answer_digest` of its text."""
    earlier_answers: int
    """Answers in its request, by whomever; `UNKNOWN` where its record does not say."""
    parent: str | None = None
    """The turn that it goes on from."""
    link: str = ""
    """By which rule, as in `link.py`; empty where there is no parent."""
    wrote: str = ""
    """Who wrote the answers in its prompt, as in `history.py`."""
    redacted: int = 0
    """LOOKED, REDACTED or UNREAD."""
    user_hash: str = ""
    """To whom; empty of turns from before this was kept."""


class Sessions(Protocol):
    """Turns, each beside the others of its session."""

    def session(self, name: str) -> Mapping[str, Turn]:
        """Return the turns of the session that a turn is in."""
        ...


def is_turn(generation: Generation) -> bool:
    """Return whether a generation may go on from another one, or another one from it.

    A mirrored answer was shown to nobody, a side request is the harness's own, and a session of
    chance holds one request, unless that names what it goes on from.
    """
    if generation.variant == SHADOW or generation.side_request:
        return False
    named = generation.parent_id or generation.call_id
    return generation.session_found != "chance" or bool(named)


class TokenBytes(NamedTuple):
    """The tokens of a generation as bytes: made once, compared and digested often."""

    prompt: int
    """Tokens of the prompt."""
    raw: bytes
    """Prompt and completion, four bytes a token."""


def token_bytes(generation: Generation) -> TokenBytes:
    """Return a generation's tokens; the prompt alone where the completion was not captured."""
    prompt = generation.prompt_token_ids or ()
    completion = generation.completion_token_ids or ()
    # A third of the time that an array of them takes.
    raw = struct.pack(f"{len(prompt) + len(completion)}i", *prompt, *completion)
    return TokenBytes(len(prompt), raw)


def turn_of(
    generation: Generation, received: float, tokens: TokenBytes, *, unread: bool = False
) -> Turn:
    """Return what its session keeps of a generation; `unread` where its writer did not look at it."""
    whole = tokens.prompt > 0 and generation.completion_token_ids is not None
    told = generation.input or generation.earlier_answers
    # By place and not by name, which takes three times as long: one for every answer.
    return Turn(
        generation.generation_id,
        received,
        generation.version,
        tokens.prompt,
        len(tokens.raw) // WIDTH if whole else 0,
        token_digest(tokens.raw) if whole else b"",
        answer_digest(generation.text),
        generation.earlier_answers if told else UNKNOWN,
        *(None, "", ""),
        REDACTED if generation.redacted else UNREAD if unread else LOOKED,
        generation.user_hash,
    )


def token_digest(raw: bytes) -> bytes:
    """Return the digest by which a prompt is known to go on from these tokens."""
    return hashlib.blake2b(raw, digest_size=16).digest()


def prefix_digests(raw: bytes, lengths: Iterable[int]) -> dict[int, bytes]:
    """Return the digest of the first so many tokens, for each of these lengths, in one pass."""
    view, running, done = memoryview(raw), hashlib.blake2b(digest_size=16), 0
    found = dict[int, bytes]()
    for length in sorted(lengths):
        running.update(view[done * WIDTH : length * WIDTH])
        found[length], done = running.digest(), length
    return found
