"""Conversations: which recorded request goes on from which answer, found by how it begins.

[u1]            -> a1    session 1, no parent
[u1, a1, u2]    -> a2    session 1, parent a1
[u9]            -> a9    session 2
"""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, field

import msgspec

from ..events.generation import Generation
from .messages import Message


@dataclass(slots=True)
class Conversations:
    """One person's conversations."""

    known: dict[bytes, Generation] = field(default_factory=dict)
    """Generation by the digest of a conversation up to its request, and up to its answer."""

    def parent(self, request: Sequence[Message]) -> Generation | None:
        """Return the generation that this request goes on from: the longest beginning known."""
        beginnings = digests(request)[:-1]
        return next((self.known[d] for d in reversed(beginnings) if d in self.known), None)

    def add(self, request: Sequence[Message], answer: str, generation: Generation) -> None:
        """Remember where a generation stands."""
        up_to = digests([*request, Message("assistant", answer)])
        for digest in up_to[-2:]:
            self.known[digest] = generation


def digests(messages: Sequence[Message]) -> list[bytes]:
    """Return a digest of each beginning of a conversation, shortest first."""
    running, result = hashlib.blake2b(digest_size=16), []
    for message in messages:
        running.update(msgspec.json.encode((message.role, message.text, message.call_id)))
        result.append(running.digest())
    return result
