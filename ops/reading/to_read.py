"""To read: the unread rows of the state database as texts, and why the others are not read."""

from collections.abc import Sequence
from typing import Literal, NamedTuple

import msgspec

from ...rewards.satisfaction.message import NextMessage, answer_of, message_of
from ...streams.events.episode import Episode
from ...streams.events.signals import Judged
from ...streams.join.episodes_table import load_episodes
from ...streams.readings.unread import UnreadRow
from ...streams.redaction.redactor import redact
from ...streams.sessions.contents import load_contents
from ...streams.state.transaction import Transaction

Refused = Literal["gone", "no_consent", "overruled", "read_already"]
"""Its answer or message is not held; somebody agreed to no learning; another message took its place;
somebody read it."""


class ToRead(NamedTuple):
    """One text to read."""

    row: UnreadRow
    """What it was noted as."""
    episode: Episode
    """The answer that it is about."""
    message: NextMessage
    """The text, beside what it is about."""


class Sorted(NamedTuple):
    """Unread rows, by what is to be done with them."""

    texts: list[ToRead]
    """To be read."""
    refused: list[tuple[UnreadRow, Refused]]
    """Not to be read, and why."""


def sort_unread(view: Transaction, policy: str, rows: Sequence[UnreadRow]) -> Sorted:
    """Return the texts of these rows."""
    names = sorted({row.generation_id for row in rows})
    episodes = {one.id: one for one in load_episodes(view, policy, names)}
    agreed = may_learn_from(view, policy, sorted({row.message for row in rows}))
    found = Sorted([], [])
    for row in rows:
        episode = episodes.get(row.generation_id)
        if episode is None:
            found.refused.append((row, "gone"))
            continue
        why = _why_not(row, episode, agreed)
        message = answer_of(episode) if row.rubric else message_of(episode, row.message)
        if why is None and message is not None:
            found.texts.append(ToRead(row, episode, message))
        else:
            found.refused.append((row, why or "overruled"))
    return found


def _why_not(row: UnreadRow, episode: Episode, agreed: set[str]) -> Refused | None:
    for one in episode.feedback:
        signal = one.feedback.signal
        if isinstance(signal, Judged) and (signal.message, signal.rubric) == row[1:3]:
            return "read_already"
    derived = any(one.origin == row.message for one in episode.feedback)
    if not episode.generation.may_train or (derived and row.message not in agreed):
        return "no_consent"
    return None


def may_learn_from(view: Transaction, policy: str, names: Sequence[str]) -> set[str]:
    """Return those of these generations whose people agreed to have them learned from."""
    held = load_contents(view, policy, names)
    return {name for name, one in held.items() if one.event.data.may_train}


def redacted(message: NextMessage) -> NextMessage:
    """Return a message without what must not leave, also of a tenant that keeps it here."""
    return msgspec.structs.replace(
        message,
        text=redact(message.text, ()).text,
        request=redact(message.request, ()).text,
        answer=redact(message.answer, ()).text,
    )
