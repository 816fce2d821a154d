"""Message: a person's next message beside what it answers."""

import msgspec

from ...streams.events.episode import Episode
from ...streams.events.signals import FollowedUp

MOST_CHARACTERS = 8_000
"""What is read of one text: its beginning, and of a longer one its end too."""


class NextMessage(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """What a reader reads."""

    text: str
    """What the person wrote; of a rubric on the answer itself nothing."""
    request: str = ""
    """What they had asked for before."""
    answer: str = ""
    """What they got."""


def message_of(episode: Episode, name: str) -> NextMessage | None:
    """Return the message that counts on an answer, by the name that a reading gives it.

    None where no such message counts: another one took its place.
    """
    for one in episode.feedback:
        if (
            isinstance(one.feedback.signal, FollowedUp)
            and (one.origin or one.feedback.feedback_id) == name
        ):
            return _beside(episode, one.feedback.signal.text)
    return None


def answer_of(episode: Episode) -> NextMessage:
    """Return an answer as a rubric reads it."""
    return _beside(episode, "")


def _beside(episode: Episode, text: str) -> NextMessage:
    asked = [one.text for one in episode.generation.input if one.role == "user" and one.text]
    return NextMessage(
        text=shortened(text),
        request=shortened(asked[-1]) if asked else "",
        answer=shortened(episode.generation.text),
    )


def shortened(text: str, most: int = MOST_CHARACTERS) -> str:
    """Return a text as far as it is read.

    >>> len(shortened("a" * 100_000)) < 8_100
    True
    """
    if len(text) <= most:
        return text
    half = most // 2
    return f"{text[:half]}\n[…]\n{text[-half:]}"
