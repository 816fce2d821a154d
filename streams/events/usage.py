"""Usage: tokens that a generation read and wrote, as the engine counted them."""

from typing import Annotated

import msgspec


class Usage(msgspec.Struct, frozen=True, kw_only=True, gc=False, omit_defaults=True):
    """Tokens that a generation read and wrote."""

    prompt_tokens: int = 0
    """Tokens read."""
    completion_tokens: int = 0
    """Tokens written."""
    cached_prompt_tokens: Annotated[int, msgspec.Meta(ge=0)] | None = None
    """Of the tokens read, those that the engine had in its prefix cache; None where it did not say."""
    reasoning_tokens: Annotated[int, msgspec.Meta(ge=0)] | None = None
    """Of the tokens written, those that were reasoning; None where the engine did not say."""
