"""Input message: what was said to the model since its last answer, by a person or by a tool."""

import hashlib
from typing import Annotated

import msgspec

KEPT_CHARACTERS = 200_000
"""Most text of the input that one record holds."""
KEPT_MESSAGES = 256
"""Most messages of the input that one record holds; of more, the last ones."""


class InputMessage(msgspec.Struct, frozen=True, kw_only=True, gc=False, omit_defaults=True):
    """One message of a request, after the last one of the assistant."""

    role: Annotated[str, msgspec.Meta(max_length=64)]
    """system, developer, user, tool, … as the request said it."""
    text: str = ""
    """Its text; parts of text are joined by a line feed."""
    tool_call_id: Annotated[str, msgspec.Meta(max_length=512)] | None = None
    """For a tool's result: the call that it answers."""
    name: Annotated[str, msgspec.Meta(max_length=512)] | None = None
    """Who says it, where the request named them: a tool, or a person."""
    is_error: bool | None = None
    """For a tool's result: whether the harness said that it failed; None where it did not say."""
    attachments: Annotated[int, msgspec.Meta(ge=0, le=2**31 - 1)] = 0
    """Parts that are no text (images, sound, files); they are counted and not kept."""
    cut: bool = False
    """True where the text was longer than what is kept."""


def answer_digest(text: str) -> str:
    """Return a digest of what an answer said, to find it again in the requests that follow.

    Empty for an answer that said nothing. White space around it does not count: clients trim it.
    """
    said = text.strip()
    return hashlib.blake2b(said.encode(), digest_size=8).hexdigest() if said else ""
