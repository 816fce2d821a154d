"""Shown words: what a request says of an answer before it is shown where the request itself may be.

A person agrees for each request. What was written back is the next request's, and whoever may read the
answer may not for that reason read it.
"""

from collections.abc import Container, Sequence

import msgspec

from ..events.episode import Timed
from ..events.signals import FollowedUp


def with_shown_words(feedback: Sequence[Timed], shown: Container[str]) -> tuple[Timed, ...]:
    """Return feedback without the words of requests that are not among `shown`; that they came stays."""
    return tuple([_shown(one, shown) for one in feedback])


def _shown(one: Timed, shown: Container[str]) -> Timed:
    signal = one.feedback.signal
    if not one.origin or one.origin in shown or not isinstance(signal, FollowedUp):
        return one
    wordless = msgspec.structs.replace(signal, text="")
    return msgspec.structs.replace(
        one, feedback=msgspec.structs.replace(one.feedback, signal=wordless)
    )
